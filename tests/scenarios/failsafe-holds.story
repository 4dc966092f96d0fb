# The voters' majority is gone for a minute: the guards of all candidates give their word, and the primary stays open.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----

stop a1 a2 a3
run 60s
state
----

continue a1 a2 a3
run 15s
state
----
