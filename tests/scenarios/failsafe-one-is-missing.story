# The voters' majority is gone, and one candidate's guard with it: nobody knows what that one does, so the primary shuts.
mesh 5 voters 3 regions 3 guards
app shop synchronous stacks=east,west,north guards=a6,a7,a8
start
----

stop a1 a2 a3 a8
run 30s
state
----

continue a1 a2 a3 a8
run 15s
state
----
