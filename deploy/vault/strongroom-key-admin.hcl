# Whoever looks after the keys: rotate them, retire old versions, pause a key
# and let it go on. May neither use a key, nor take one out of Vault, nor
# destroy one.

path "transit/keys" {
  capabilities = ["list"]
}

path "transit/keys/+" {
  capabilities = ["read"]
}

path "transit/keys/+/rotate" {
  capabilities = ["update"]
}

path "transit/keys/+/config" {
  capabilities = ["update"]
  allowed_parameters = {
    "min_decryption_version" = []
    "min_encryption_version" = []
    "auto_rotate_period"     = []
  }
}

# A paused key opens nothing until it is restored (OpenBao).
path "transit/keys/+/soft-delete" {
  capabilities = ["delete"]
}

path "transit/keys/+/soft-delete-restore" {
  capabilities = ["update"]
}

# Keep its own token alive.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
