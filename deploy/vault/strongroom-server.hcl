# The Strongroom server: make KEKs, use them, sign, get its own certificate.

# A new KEK. What may be said is listed; all else is refused.
path "transit/keys/+" {
  capabilities = ["create", "update", "read"]
  allowed_parameters = {
    "type"                   = ["aes256-gcm96"]
    "derived"                = [true]
    "convergent_encryption"  = [false]
    "exportable"             = [false]
    "allow_plaintext_backup" = [false]
    "auto_rotate_period"     = ["720h"]
  }
}

# Wrap, unwrap and re-wrap domain keys, each bound to its place by a context
# of ours. Only re-wrapping, which shows no key, takes several at once.
path "transit/datakey/plaintext/sr.*" {
  capabilities = ["update"]
  required_parameters = ["context"]
  allowed_parameters = {
    "bits"    = []
    "context" = ["U1JDVFgtdjEA*"]
  }
}

path "transit/decrypt/sr.*" {
  capabilities = ["update"]
  required_parameters = ["ciphertext", "context"]
  allowed_parameters = {
    "ciphertext" = ["vault:v*"]
    "context"    = ["U1JDVFgtdjEA*"]
  }
}

path "transit/rewrap/sr.*" {
  capabilities = ["update"]
  allowed_parameters = {
    "ciphertext"  = ["vault:v*"]
    "context"     = ["U1JDVFgtdjEA*"]
    "batch_input" = []
  }
}

# The keys that an operator makes: read their public part or version, no more.
path "transit/keys/sr.store" {
  capabilities = ["read"]
}

path "transit/keys/sr.sign.version" {
  capabilities = ["read"]
}

path "transit/keys/sr.sign.version.pq" {
  capabilities = ["read"]
}

path "transit/keys/sr.log" {
  capabilities = ["read"]
}

path "transit/keys/sr.log.pq" {
  capabilities = ["read"]
}

# Sign journal entries, with both algorithms.
path "transit/sign/sr.sign.version" {
  capabilities = ["update"]
  required_parameters = ["input"]
  allowed_parameters = {
    "input"                = []
    "hash_algorithm"       = ["sha2-384"]
    "marshaling_algorithm" = ["asn1"]
  }
}

path "transit/sign/sr.sign.version.pq" {
  capabilities = ["update"]
  required_parameters = ["input"]
  allowed_parameters = {
    "input" = []
  }
}

path "transit/sign/sr.log" {
  capabilities = ["update"]
  required_parameters = ["input"]
  allowed_parameters = {
    "input" = []
  }
}

path "transit/sign/sr.log.pq" {
  capabilities = ["update"]
  required_parameters = ["input"]
  allowed_parameters = {
    "input" = []
  }
}

# A certificate for the server itself.
path "pki/issue/strongroom-server" {
  capabilities = ["update"]
}

# Keep its own token alive.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
