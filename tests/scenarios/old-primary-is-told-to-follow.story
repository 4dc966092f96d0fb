# Replicas that are told whom to follow: an old primary comes back, open, beside the one it was replaced by. It is found by
# looks, and told to follow, in an epoch of its own.
mesh 5 voters 3 regions
app shop database engine=redis
start
----

stack shop east dark
until shop settled within 60s
state
----

stack shop east up
run 30s
until shop settled within 30s
state
----
