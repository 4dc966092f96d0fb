# The standby has been down just now and does not qualify: never to a stack that is not better.
mesh 5 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

stack blog west dark
run 20s
stack blog west up
run 10s
stack blog east dark
run 30s
why a2 blog
state
----
  100.000 *     blog/west: web is Dark
  120.000 *     blog/west: web is Up
  130.000 *     blog/east: web is Dark
  137.608 a1    holds blog/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  137.608 a1    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  137.741 a3    holds blog/east for standing: 2 of 5 voters see it down (and a2 a5 a1 a4)
  137.741 a3    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a2 a5 a1 a4)
  137.776 a2    holds blog/east for down: 3 of 5 voters see it down (and a5 a3 a1 a4)
  137.776 a2    leaves blog alone: west is not fit: web long enough up for 0 of 5 voters, 3 are needed (and a5 a3 a1 a4)
  137.877 a4    holds blog/east for down: 4 of 5 voters see it down (and a1 a5 a2 a3)
  137.913 a3    holds blog/east for down: 5 of 5 voters see it down (and a2 a5 a1 a4)
a2 on blog: west is not fit: web long enough up for 0 of 5 voters, 3 are needed
  not ready: west: web long enough up for 0 of 5 voters, 3 are needed
blog: epoch 1 apply idle, active east

# A minute of good looks later it does.
run 60s
state
----
  180.991 a2    leaves blog alone: west is not fit: web long enough up for 1 of 5 voters, 3 are needed (and a4 a3)
  180.991 a5    leaves blog alone: west is not fit: web long enough up for 2 of 5 voters, 3 are needed (and a1 a2 a3 a4)
  181.139 a1    learns blog epoch 2 publishing at 5.41cd: failover, active west, carried out by a1 (web of east down for 5 of 5 voters in 3 regions) (and a4 a3 a2 a5)
  181.208 a1    learns blog epoch 2 verifying at 6.41cd: failover, active west, carried out by a1 (web of east down for 5 of 5 voters in 3 regions) (and a4 a3 a2 a5)
  181.276 a1    learns blog epoch 2 idle at 7.41cd: failover, active west (web of east down for 5 of 5 voters in 3 regions) (and a4 a3 a2 a5)
blog: epoch 2 failover idle, active west
