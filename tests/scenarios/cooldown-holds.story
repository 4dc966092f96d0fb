# After an automatic failover the next one waits, even if the new stack dies, and says so.
mesh 5 voters 3 regions
app blog cooldown=300s
start
----
blog: epoch 1 apply idle, active east

stack blog east dark
until blog publishing within 30s
until blog settled within 60s
state
----
  100.000 *     blog/east: web is Dark
  109.084 a1    holds blog/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  109.084 a1    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  109.796 a4    holds blog/east for standing: 2 of 5 voters see it down (and a1 a3 a2 a5)
  109.796 a4    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  110.049 a5    holds blog/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  110.197 a1    learns blog epoch 2 publishing at 5.41cd: failover, active west, carried out by a1 (web of east down for 3 of 5 voters in 2 regions) (and a4 a3 a2 a5)
  110.265 a1    learns blog epoch 2 verifying at 6.41cd: failover, active west, carried out by a1 (web of east down for 3 of 5 voters in 2 regions) (and a4 a3 a2 a5)
  110.333 a1    learns blog epoch 2 idle at 7.41cd: failover, active west (web of east down for 3 of 5 voters in 2 regions) (and a4 a3 a2 a5)
blog: epoch 2 failover idle, active west

stack blog east up
run 80s
stack blog west dark
run 60s
why a1 blog
state
----
  110.371 *     blog/east: web is Up
  190.371 *     blog/west: web is Dark
  199.241 a3    holds blog/west for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  199.241 a3    leaves blog alone: west stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  200.552 a5    holds blog/west for standing: 2 of 5 voters see it down (and a2 a3 a1 a4)
  200.552 a5    leaves blog alone: west stands: 2 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  200.652 a1    holds blog/west for down: 3 of 5 voters see it down (and a4 a3 a2 a5)
  200.652 a1    leaves blog alone: web of west down for 3 of 5 voters in 3 regions, and cooling down for 4 min more (and a4 a3 a2 a5)
  200.982 a4    holds blog/west for down: 4 of 5 voters see it down (and a1 a3 a2 a5)
  200.982 a4    leaves blog alone: web of west down for 4 of 5 voters in 3 regions, and cooling down for 4 min more (and a1 a3 a2 a5)
  201.242 a2    holds blog/west for down: 5 of 5 voters see it down (and a5 a3 a1 a4)
  201.242 a2    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and cooling down for 4 min more (and a5 a3 a1 a4)
  229.989 a2    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and cooling down for 3 min more (and a4 a5 a3 a1)
a1 on blog: web of west down for 5 of 5 voters in 3 regions, and cooling down for 3 min more
  not ready: cooling down for 3 min more
blog: epoch 2 failover idle, active west

run 300s
state
----
  289.986 a2    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and cooling down for 2 min more (and a4 a5 a3 a1)
  349.983 a2    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and cooling down for 1 min more (and a4 a5 a3 a1)
  350.983 a2    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and cooling down for less than a minute more (and a4 a5 a3 a1)
  411.120 a4    learns blog epoch 3 publishing at 8.89d0: failover, active east, carried out by a4 (web of west down for 5 of 5 voters in 3 regions) (and a1 a3 a2 a5)
  411.188 a4    learns blog epoch 3 verifying at 9.89d0: failover, active east, carried out by a4 (web of west down for 5 of 5 voters in 3 regions) (and a1 a3 a2 a5)
  411.256 a4    learns blog epoch 3 idle at 10.89d0: failover, active east (web of west down for 5 of 5 voters in 3 regions) (and a1 a3 a2 a5)
blog: epoch 3 failover idle, active east
