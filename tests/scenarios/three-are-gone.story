# Three of five are gone: nobody decides, and status says why.
mesh 5 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

kill a3 a4 a5
run 10s
----
  100.000 a3    is killed (and a4 a5)
  103.995 a2    abstains: hears no majority of voters (and a1)

stack blog east dark
run 60s
why a1 blog
state
----
  110.000 *     blog/east: web is Dark
a1 on blog: east stands: nobody whose word counts sees it down; no quorum: 2 of 5 voters are heard, 3 are needed; nothing will be decided
  not ready: west: web long enough up for 0 of 5 voters, 3 are needed
  not ready: no quorum: 2 of 5 voters are heard, 3 are needed
blog: epoch 1 apply idle, active east

# One comes back: three of five are a majority, and the dead stack is left.
restart a3
until blog settled within 120s
run 90s
state
----
  170.169 a1    holds blog/east for standing: 1 of 5 voters see it down (and a2 a3)
  170.169 a1    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a2 a3)
  171.030 a1    holds blog/east for standing: 2 of 5 voters see it down (and a3 a2)
  171.030 a1    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a3 a2)
  202.002 a3    holds blog/east for down: 3 of 5 voters see it down (and a1 a2)
  202.002 a3    leaves blog alone: west is not fit: web long enough up for 2 of 5 voters, 3 are needed (and a1 a2)
  231.174 a1    learns blog epoch 2 publishing at 5.41cd: failover, active west, carried out by a1 (web of east down for 3 of 5 voters in 3 regions) (and a3 a2)
  231.326 a1    learns blog epoch 2 verifying at 6.41cd: failover, active west, carried out by a1 (web of east down for 3 of 5 voters in 3 regions) (and a3 a2)
  231.479 a1    learns blog epoch 2 idle at 7.41cd: failover, active west (web of east down for 3 of 5 voters in 3 regions) (and a3 a2)
blog: epoch 2 failover idle, active west
