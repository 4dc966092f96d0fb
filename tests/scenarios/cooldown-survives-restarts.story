# Everybody is restarted, one after the other and then at once, while a cooldown runs: it is neither forgotten nor begun anew.
mesh 5 voters 3 regions
app blog cooldown=300s
start
----
blog: epoch 1 apply idle, active east

stack blog east dark
until blog publishing within 30s
until blog settled within 60s
stack blog east up
run 65s
kill a1
restart a1
run 5s
kill a2
restart a2
run 5s
kill a3
restart a3
run 5s
kill a4
restart a4
run 5s
kill a5
restart a5
run 65s
kill all
restart all
run 50s
why a1 blog
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
  110.371 *     blog/east: web is Up
  175.371 a1    is killed (and a2 a3 a4 a5)
a1 on blog: west stands: nobody whose word counts sees it down
  not ready: east: web long enough up for 0 of 5 voters, 3 are needed
  not ready: cooling down for 3 min more

stack blog west dark
run 15s
why a1 blog
until blog publishing within 150s
state
----
  310.371 *     blog/west: web is Dark
  319.093 a3    holds blog/west for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  319.093 a3    leaves blog alone: west stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  319.155 a1    holds blog/west for standing: 2 of 5 voters see it down (and a4 a3 a2 a5)
  319.155 a1    leaves blog alone: west stands: 2 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  319.217 a4    holds blog/west for down: 3 of 5 voters see it down (and a1 a3 a2 a5)
  319.217 a4    leaves blog alone: east is not fit: web long enough up for 0 of 5 voters, 3 are needed (and a1 a3 a2 a5)
  319.511 a2    holds blog/west for down: 4 of 5 voters see it down (and a5 a3 a1 a4)
  319.768 a5    holds blog/west for down: 5 of 5 voters see it down (and a2 a3 a1 a4)
  321.368 a2    leaves blog alone: east is not fit: web long enough up for 1 of 5 voters, 3 are needed (and a4 a3)
  321.369 a5    leaves blog alone: east is not fit: web long enough up for 2 of 5 voters, 3 are needed (and a1 a2 a4 a3)
  321.394 a1    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and cooling down for 3 min more
  321.394 a4    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and cooling down for 2 min more (and a3 a2 a5 a1)
  370.366 a2    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and cooling down for 1 min more (and a4 a5 a3 a1)
  371.366 a2    leaves blog alone: web of west down for 5 of 5 voters in 3 regions, and cooling down for less than a minute more (and a4 a5 a3 a1)
  431.452 a1    refuses 8.043d for blog: cooling down for less than a minute more
a1 on blog: web of west down for 5 of 5 voters in 3 regions, and cooling down for 3 min more
  not ready: cooling down for 3 min more
blog: epoch 3 failover publishing, active east
