# A stack is seen up again right after its guard has shut it: the decision is taken back, and so is the lease.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----

stack shop east dark
until shop fencing within 30s
stack shop east up
until shop settled within 60s
state
----
