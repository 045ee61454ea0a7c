# SPDX-License-Identifier: Apache-2.0
"""People sign in at their own identity provider; a login is what is left of it.

An **issuer** is the provider; a **loopback** is where it sends the browser back to; a
**token** says who somebody is; a **login** is a token kept for one server.
"""
