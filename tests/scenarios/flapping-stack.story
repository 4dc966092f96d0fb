# SCENARIOS 16: a stack is down for eleven seconds and up for five, six times. It is left once, and not moved back to.
mesh 5 voters 3 regions
app blog cooldown=900s
start
----
blog: epoch 1 apply idle, active east

stack blog east dark
run 11s
stack blog east up
run 5s
stack blog east dark
run 11s
stack blog east up
run 5s
stack blog east dark
run 11s
stack blog east up
run 5s
stack blog east dark
run 11s
stack blog east up
run 5s
stack blog east dark
run 11s
stack blog east up
run 5s
stack blog east dark
run 11s
stack blog east up
run 5s
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
  111.000 *     blog/east: web is Up
  116.000 *     blog/east: web is Dark
  127.000 *     blog/east: web is Up
  132.000 *     blog/east: web is Dark
  143.000 *     blog/east: web is Up
  148.000 *     blog/east: web is Dark
  159.000 *     blog/east: web is Up
  164.000 *     blog/east: web is Dark
  175.000 *     blog/east: web is Up
  180.000 *     blog/east: web is Dark
  191.000 *     blog/east: web is Up
blog: epoch 2 failover idle, active west
