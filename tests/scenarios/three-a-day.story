# The mesh moves an app three times within a day: then it is held until a person acknowledges what happened.
mesh 5 voters 3 regions
app blog cooldown=10s
start
----
blog: epoch 1 apply idle, active east

stack blog east dark
until blog publishing within 60s
stack blog east up
run 100s
stack blog west dark
until blog publishing within 60s
stack blog west up
run 100s
stack blog east dark
until blog publishing within 60s
stack blog east up
run 100s
state
----
  100.000 *     blog/east: web is Dark
  109.815 a4    holds blog/east for standing: 1 of 5 voters see it down (and a1 a3 a2 a5)
  109.815 a4    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  110.053 a5    holds blog/east for standing: 2 of 5 voters see it down (and a2 a3 a1 a4)
  110.053 a5    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  110.526 a1    holds blog/east for down: 3 of 5 voters see it down (and a4 a3 a2 a5)
  110.543 a3    holds blog/east for down: 4 of 5 voters see it down (and a4 a2 a5)
  110.619 *     blog/east: web is Up
  110.636 a1    learns blog epoch 2 publishing at 6.41cd: failover, active west, carried out by a1 (web of east down for 4 of 5 voters in 3 regions) (and a4 a3 a2 a5)
  110.704 a1    learns blog epoch 2 verifying at 7.41cd: failover, active west, carried out by a1 (web of east down for 4 of 5 voters in 3 regions) (and a4 a3 a2 a5)
  110.773 a1    learns blog epoch 2 idle at 8.41cd: failover, active west (web of east down for 4 of 5 voters in 3 regions) (and a4 a3 a2 a5)
  210.619 *     blog/west: web is Dark
  219.494 a3    holds blog/west for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  219.494 a3    leaves blog alone: west stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  220.174 a5    holds blog/west for standing: 2 of 5 voters see it down (and a2 a3 a1 a4)
  220.174 a5    leaves blog alone: west stands: 2 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  220.724 a2    holds blog/west for down: 3 of 5 voters see it down (and a5 a3 a1 a4)
  220.855 *     blog/west: web is Up
  220.872 a4    learns blog epoch 3 publishing at 9.89d0: failover, active east, carried out by a4 (web of west down for 3 of 5 voters in 2 regions) (and a1 a3 a2 a5)
  221.099 a2    learns blog epoch 3 verifying at 11.bfcd: failover, active east, carried out by a2 (web of west down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  221.239 a2    learns blog epoch 3 idle at 12.bfcd: failover, active east (web of west down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  320.855 *     blog/east: web is Dark
  331.332 *     blog/east: web is Up
  331.367 a5    learns blog epoch 4 publishing at 13.10df: failover, active west, carried out by a5 (web of east down for 3 of 5 voters in 3 regions) (and a2 a3 a1 a4)
  331.506 a5    learns blog epoch 4 verifying at 14.10df: failover, active west, carried out by a5 (web of east down for 3 of 5 voters in 3 regions) (and a2 a3 a1 a4)
  331.645 a5    learns blog epoch 4 idle at 15.10df: failover, active west (web of east down for 3 of 5 voters in 3 regions) (and a2 a3 a1 a4)
blog: epoch 4 failover idle, active west

stack blog west dark
run 60s
why a1 blog
----
  431.332 *     blog/west: web is Dark
  440.716 a2    holds blog/west for standing: 1 of 5 voters see it down (and a5 a3 a1 a4)
  440.716 a2    leaves blog alone: west stands: 1 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  441.571 a5    holds blog/west for standing: 2 of 5 voters see it down (and a2 a3 a1 a4)
  441.571 a5    leaves blog alone: west stands: 2 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  441.606 a3    holds blog/west for down: 3 of 5 voters see it down (and a1 a4 a2 a5)
  441.606 a3    leaves blog alone: web of west down for 3 of 5 voters in 2 regions, and held as flapping after three failovers within a day, until `quorate ack` (and a1 a4 a2 a5)
  442.223 a1    holds blog/west for down: 4 of 5 voters see it down (and a4 a3 a2 a5)
  442.223 a1    leaves blog alone: web of west down for 4 of 5 voters in 3 regions, and held as flapping after three failovers within a day, until `quorate ack` (and a4 a3 a2 a5)
  442.231 a4    holds blog/west for down: 5 of 5 voters see it down (and a1 a3 a2 a5)
  442.231 a4    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and held as flapping after three failovers within a day, until `quorate ack` (and a1 a3 a2 a5)
a1 on blog: web of west down for 5 of 5 voters in 3 regions, and held as flapping after three failovers within a day, until `quorate ack`
  not ready: held as flapping after three failovers within a day, until `quorate ack`

ack a5 blog
until blog publishing within 30s
state
----
  491.471 a5    learns that operator acknowledged what was done for blog (and a2 a3 a1 a4)
blog: epoch 5 failover publishing, active east
