# A guard stands still for 45 seconds: its door shuts without it, and opens again once it goes on.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----

stop a6
run 9s
state
----

run 36s
state
----

continue a6
run 5s
state
----
