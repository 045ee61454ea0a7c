# Whoever takes snapshots of Vault's storage (a job, every night and behind
# each backup): all of it, as Vault encrypts it; without the unseal keys it
# is noise. May not put one back.

path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}

# Keep its own token alive.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
