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
  109.084 a1    holds blog/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  109.084 a1    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  109.796 a4    holds blog/east for standing: 2 of 5 voters see it down (and a1 a3 a2 a5)
  109.796 a4    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  110.049 a5    holds blog/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  110.180 *     blog/east: web is Up
  110.197 a1    learns blog epoch 2 publishing at 5.41cd: failover, active west, carried out by a1 (web of east down for 3 of 5 voters in 2 regions) (and a4 a3 a2 a5)
  110.265 a1    learns blog epoch 2 verifying at 6.41cd: failover, active west, carried out by a1 (web of east down for 3 of 5 voters in 2 regions) (and a4 a3 a2 a5)
  110.333 a1    learns blog epoch 2 idle at 7.41cd: failover, active west (web of east down for 3 of 5 voters in 2 regions) (and a4 a3 a2 a5)
  210.180 *     blog/west: web is Dark
  219.156 a3    holds blog/west for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  219.156 a3    leaves blog alone: west stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  219.982 a5    holds blog/west for standing: 2 of 5 voters see it down (and a2 a3 a1 a4)
  219.982 a5    leaves blog alone: west stands: 2 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  220.284 a2    holds blog/west for down: 3 of 5 voters see it down (and a5 a3 a1 a4)
  220.388 a1    holds blog/west for down: 4 of 5 voters see it down (and a3 a2 a5)
  220.415 *     blog/west: web is Up
  220.432 a4    learns blog epoch 3 publishing at 8.89d0: failover, active east, carried out by a4 (web of west down for 3 of 5 voters in 2 regions) (and a1 a3 a2 a5)
  220.500 a4    learns blog epoch 3 verifying at 9.89d0: failover, active east, carried out by a4 (web of west down for 3 of 5 voters in 2 regions) (and a1 a3 a2 a5)
  220.568 a4    learns blog epoch 3 idle at 10.89d0: failover, active east (web of west down for 3 of 5 voters in 2 regions) (and a1 a3 a2 a5)
  320.415 *     blog/east: web is Dark
  330.734 *     blog/east: web is Up
  330.769 a5    learns blog epoch 4 publishing at 11.10df: failover, active west, carried out by a5 (web of east down for 3 of 5 voters in 2 regions) (and a2 a3 a1 a4)
  330.908 a5    learns blog epoch 4 verifying at 12.10df: failover, active west, carried out by a5 (web of east down for 3 of 5 voters in 2 regions) (and a2 a3 a1 a4)
  331.047 a5    learns blog epoch 4 idle at 13.10df: failover, active west (web of east down for 3 of 5 voters in 2 regions) (and a2 a3 a1 a4)
blog: epoch 4 failover idle, active west

stack blog west dark
run 60s
why a1 blog
----
  430.734 *     blog/west: web is Dark
  440.702 a2    holds blog/west for standing: 1 of 5 voters see it down (and a5 a3 a1 a4)
  440.702 a2    leaves blog alone: west stands: 1 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  441.201 a4    holds blog/west for standing: 2 of 5 voters see it down (and a1 a3 a2 a5)
  441.201 a4    leaves blog alone: west stands: 2 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  441.266 a5    holds blog/west for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  441.266 a5    leaves blog alone: web of west down for 3 of 5 voters in 2 regions, and held as flapping after three failovers within a day, until `quorate ack` (and a2 a3 a1 a4)
  441.475 a3    holds blog/west for down: 4 of 5 voters see it down (and a1 a4 a2 a5)
  441.475 a3    leaves blog alone: web of west down for 4 of 5 voters in 3 regions, and held as flapping after three failovers within a day, until `quorate ack` (and a1 a4 a2 a5)
  442.338 a1    holds blog/west for down: 5 of 5 voters see it down (and a4 a3 a2 a5)
  442.338 a1    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and held as flapping after three failovers within a day, until `quorate ack` (and a4 a3 a2 a5)
a1 on blog: web of west down for 5 of 5 voters in 3 regions, and held as flapping after three failovers within a day, until `quorate ack`
  not ready: held as flapping after three failovers within a day, until `quorate ack`

ack a5 blog
until blog publishing within 30s
state
----
  490.873 a5    learns that operator acknowledged what was done for blog (and a2 a3 a1 a4)
blog: epoch 5 failover publishing, active east
