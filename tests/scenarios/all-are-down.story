# Every stack is down: nothing moves. The first that is well again serves; the active one goes first.
mesh 5 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

stack blog east dark
stack blog west dark
run 60s
why a1 blog
state
----
  100.000 *     blog/east: web is Dark
  100.000 *     blog/west: web is Dark
  109.132 a1    holds blog/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  109.132 a1    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  109.900 a4    holds blog/east for standing: 2 of 5 voters see it down (and a1 a3 a2 a5)
  109.900 a4    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  110.073 a5    holds blog/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  110.073 a5    leaves blog alone: west is not fit: web long enough up for 0 of 5 voters, 3 are needed (and a2 a3 a1 a4)
  110.590 a3    holds blog/east for down: 4 of 5 voters see it down (and a1 a4 a2 a5)
  110.759 a2    holds blog/east for down: 5 of 5 voters see it down (and a5 a3 a1 a4)
a1 on blog: west is not fit: web long enough up for 0 of 5 voters, 3 are needed
  not ready: west: web long enough up for 0 of 5 voters, 3 are needed
blog: epoch 1 apply idle, active east

stack blog east up
run 30s
why a1 blog
state
----
  160.000 *     blog/east: web is Up
  160.066 a2    holds blog/east for down: 4 of 5 voters see it down (and a5 a3 a1 a4)
  160.104 a5    holds blog/east for contested: 3 of 5 voters see it down (and a2 a3 a1 a4)
  160.104 a5    leaves blog alone: east is contested: 3 of 5 voters see it down, 2 see it up (and a2 a3 a1 a4)
  160.139 a3    holds blog/east for standing: 2 of 5 voters see it down (and a1 a4 a2 a5)
  160.139 a3    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  160.417 a4    holds blog/east for standing: 1 of 5 voters see it down (and a1 a3 a2 a5)
  160.417 a4    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  160.423 a1    holds blog/east for standing: 0 of 5 voters see it down (and a4 a3 a2 a5)
a1 on blog: east stands: nobody whose word counts sees it down
  not ready: west: web long enough up for 0 of 5 voters, 3 are needed
blog: epoch 1 apply idle, active east
