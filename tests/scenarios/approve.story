# In mode approve the mesh waits for a person, and goes by what it sees when the person says so.
mesh 5 voters 3 regions
app blog mode=approve
start
----
blog: epoch 1 apply idle, active east

approve a1 blog
run 2s
stack blog east dark
run 15s
why a1 blog
approve a1 blog
until blog publishing within 10s
until blog settled within 30s
state
----
  100.116 a1    answers: Refused("nothing waits to be approved: east stands: nobody whose word counts sees it down")
  102.000 *     blog/east: web is Dark
  110.542 a3    holds blog/east for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  110.542 a3    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  110.724 a2    holds blog/east for standing: 2 of 5 voters see it down (and a5 a3 a1 a4)
  110.724 a2    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  113.682 a1    holds blog/east for down: 3 of 5 voters see it down (and a4 a3 a2 a5)
  113.682 a1    leaves blog alone: would move to west (web of east down for 3 of 5 voters in 3 regions), and waits for `quorate approve` (and a4 a3 a2 a5)
  114.035 a4    holds blog/east for down: 4 of 5 voters see it down (and a1 a3 a2 a5)
  114.035 a4    leaves blog alone: would move to west (web of east down for 4 of 5 voters in 3 regions), and waits for `quorate approve` (and a1 a3 a2 a5)
  114.107 a5    holds blog/east for down: 5 of 5 voters see it down (and a2 a3 a1 a4)
  114.107 a5    leaves blog alone: would move to west (web of east down for 5 of 5 voters in 3 regions), and waits for `quorate approve` (and a2 a3 a1 a4)
  117.110 a1    learns blog epoch 2 publishing at 6.41cd: approved failover, active west, carried out by a1 (web of east down for 5 of 5 voters in 3 regions, approved by operator) (and a4 a3 a2 a5)
  117.178 a1    learns blog epoch 2 verifying at 7.41cd: approved failover, active west, carried out by a1 (web of east down for 5 of 5 voters in 3 regions, approved by operator) (and a4 a3 a2 a5)
  117.246 a1    learns blog epoch 2 idle at 8.41cd: approved failover, active west (web of east down for 5 of 5 voters in 3 regions, approved by operator) (and a4 a3 a2 a5)
a1 on blog: would move to west (web of east down for 5 of 5 voters in 3 regions), and waits for `quorate approve`
blog: epoch 2 approved failover idle, active west
