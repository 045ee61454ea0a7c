# Whoever approves that a key is destroyed: look at a request, approve it.
# Must be in the group that the request needs, and not be the one who asks.

path "sys/control-group/request" {
  capabilities = ["update"]
}

path "sys/control-group/authorize" {
  capabilities = ["update"]
}
