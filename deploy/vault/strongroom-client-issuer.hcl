# Whoever hands out client certificates (the development stack, a job
# controller): one role, and nothing else.

path "pki/issue/strongroom-client" {
  capabilities = ["update"]
}
