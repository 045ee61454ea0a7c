# Whoever destroys keys, and with them all that they protect. Vault holds each
# request back until 2 others have approved it, by a control
# group. Not for a Vault that does not enforce those, such as HashiCorp's
# community edition: there one person alone could delete a key.

path "transit/keys/+/config" {
  capabilities = ["update"]
  allowed_parameters = {
    "deletion_allowed" = [true, false]
  }
  control_group = {
    ttl = "1h"
    factor "owners" {
      controlled_capabilities = ["update"]
      identity {
        group_names = ["strongroom-key-owners"]
        approvals   = 2
      }
    }
  }
}

path "transit/keys/+" {
  capabilities = ["read", "delete"]
  control_group = {
    ttl = "1h"
    factor "owners" {
      controlled_capabilities = ["delete"]
      identity {
        group_names = ["strongroom-key-owners"]
        approvals   = 2
      }
    }
  }
}

# Never the store's own keys: without them nothing of it opens or verifies.
path "transit/keys/sr.store" {
  capabilities = ["deny"]
}

path "transit/keys/sr.sign.version" {
  capabilities = ["deny"]
}

path "transit/keys/sr.sign.version.pq" {
  capabilities = ["deny"]
}

path "transit/keys/sr.log" {
  capabilities = ["deny"]
}

path "transit/keys/sr.log.pq" {
  capabilities = ["deny"]
}

path "transit/keys/sr.store/config" {
  capabilities = ["deny"]
}

path "transit/keys/sr.sign.version/config" {
  capabilities = ["deny"]
}

path "transit/keys/sr.sign.version.pq/config" {
  capabilities = ["deny"]
}

path "transit/keys/sr.log/config" {
  capabilities = ["deny"]
}

path "transit/keys/sr.log.pq/config" {
  capabilities = ["deny"]
}

# Carry out what was held back.
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}

# Keep its own token alive.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
