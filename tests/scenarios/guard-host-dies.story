# The host of a guarded primary dies, guard and all: the promotion waits for its last lease, which began before it died.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----

host shop east dies
until shop promoting within 30s
----

until shop settled within 60s
state
----
