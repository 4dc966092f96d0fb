# Somebody freezes an app before a release; its stack dies, and nothing moves until the freeze runs out by itself.
mesh 5 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

freeze a2 blog 60s release 2.4
run 2s
stack blog east dark
run 20s
why a1 blog
----
  100.139 a2    learns that operator froze blog for 1 min: release 2.4 (and a5 a3 a1 a4)
  102.000 *     blog/east: web is Dark
  110.542 a3    holds blog/east for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  110.542 a3    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  110.724 a2    holds blog/east for standing: 2 of 5 voters see it down (and a5 a3 a1 a4)
  110.724 a2    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  113.605 a1    holds blog/east for down: 3 of 5 voters see it down (and a4 a3 a2 a5)
  113.605 a1    leaves blog alone: web of east down for 3 of 5 voters in 3 regions, and frozen by operator for less than a minute more (and a4 a3 a2 a5)
  114.035 a4    holds blog/east for down: 4 of 5 voters see it down (and a1 a3 a2 a5)
  114.035 a4    leaves blog alone: web of east down for 4 of 5 voters in 3 regions, and frozen by operator for less than a minute more (and a1 a3 a2 a5)
  114.107 a5    holds blog/east for down: 5 of 5 voters see it down (and a2 a3 a1 a4)
  114.107 a5    leaves blog alone: web of east down for 5 of 5 voters in 3 regions, and frozen by operator for less than a minute more (and a2 a3 a1 a4)
a1 on blog: web of east down for 5 of 5 voters in 3 regions, and frozen by operator for less than a minute more
  not ready: frozen by operator for less than a minute more

until blog publishing within 60s
state
----
blog: epoch 2 failover publishing, active west

# A second freeze, taken off by hand.
stack blog east up
until blog settled within 60s
run 70s
freeze a3 blog 7200s a migration of the disks
run 1s
stack blog west dark
run 20s
unfreeze a4 blog
until blog publishing within 30s
state
----
  161.123 *     blog/east: web is Up
  161.140 a1    learns that blog is no longer frozen (and a4 a3 a2 a5)
  161.140 a1    learns blog epoch 2 publishing at 6.41cd: failover, active west, carried out by a1 (web of east down for 5 of 5 voters in 3 regions) (and a4 a3 a2 a5)
  161.208 a1    learns blog epoch 2 verifying at 7.41cd: failover, active west, carried out by a1 (web of east down for 5 of 5 voters in 3 regions) (and a4 a3 a2 a5)
  161.276 a1    learns blog epoch 2 idle at 8.41cd: failover, active west (web of east down for 5 of 5 voters in 3 regions) (and a4 a3 a2 a5)
  231.382 a3    learns that operator froze blog for 2 h: a migration of the disks (and a1 a4 a2 a5)
  232.314 *     blog/west: web is Dark
  241.633 a5    holds blog/west for standing: 1 of 5 voters see it down (and a2 a3 a1 a4)
  241.633 a5    leaves blog alone: west stands: 1 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  242.228 a1    holds blog/west for standing: 2 of 5 voters see it down (and a4 a3 a2 a5)
  242.228 a1    leaves blog alone: west stands: 2 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  244.549 a3    holds blog/west for down: 3 of 5 voters see it down (and a2 a5 a1 a4)
  244.549 a3    leaves blog alone: web of west down for 3 of 5 voters in 3 regions, and frozen by operator for 120 min more (and a1 a4)
  244.562 a2    leaves blog alone: web of west down for 3 of 5 voters in 2 regions, and frozen by operator for 120 min more (and a5)
  244.584 a2    holds blog/west for down: 4 of 5 voters see it down (and a5 a3 a1 a4)
  244.584 a2    leaves blog alone: web of west down for 4 of 5 voters in 3 regions, and frozen by operator for 120 min more (and a5 a3 a1 a4)
  244.606 a4    holds blog/west for down: 5 of 5 voters see it down (and a1 a3 a2 a5)
  244.606 a4    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and frozen by operator for 120 min more (and a1 a3 a2 a5)
blog: epoch 3 failover publishing, active east
