# Two voters of five are gone, and the way between two of the others is cut: the third passes their letters on, signed by
# whoever wrote them. Every vote is needed, and every vote counts (PROTOCOL.md A.5).
mesh 5 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

kill a4 a5
part a1 a2
run 10s
why a1 blog
----
  100.000 a4    is killed (and a5)
a1 on blog: east stands: nobody whose word counts sees it down

# A person asks a1: what a2 has to say comes by way of a3.
failover a1 blog west
until blog settled within 60s
state
----
blog: epoch 1 apply idle, active east

# And by itself: all three must have seen it down, and all three must accept.
run 60s
stack blog west dark
until blog publishing within 60s
until blog settled within 60s
state
----
  110.239 a1    learns blog epoch 2 publishing at 5.41cd: forced failover, active west, carried out by a1 (forced failover asked for by operator) (and a3)
  110.446 a1    learns blog epoch 2 verifying at 6.41cd: forced failover, active west, carried out by a1 (forced failover asked for by operator) (and a3)
  110.654 a1    learns blog epoch 2 idle at 7.41cd: forced failover, active west (forced failover asked for by operator) (and a3 a2)
  170.000 *     blog/west: web is Dark
  179.482 a2    holds blog/west for standing: 1 of 5 voters see it down (and a3 a1)
  179.482 a2    leaves blog alone: west stands: 1 of 5 voters see it down, 3 are needed (and a3 a1)
  179.993 a3    holds blog/west for standing: 2 of 5 voters see it down (and a1 a2)
  179.993 a3    leaves blog alone: west stands: 2 of 5 voters see it down, 3 are needed (and a1 a2)
  180.926 a1    holds blog/west for down: 3 of 5 voters see it down (and a3 a2)
  181.186 a2    learns blog epoch 3 publishing at 8.bfcd: failover, active east, carried out by a2 (web of west down for 3 of 5 voters in 3 regions) (and a3)
  181.393 a2    learns blog epoch 3 verifying at 9.bfcd: failover, active east, carried out by a2 (web of west down for 3 of 5 voters in 3 regions) (and a3)
  181.600 a2    learns blog epoch 3 idle at 10.bfcd: failover, active east (web of west down for 3 of 5 voters in 3 regions) (and a3 a1)
blog: epoch 3 failover idle, active east
