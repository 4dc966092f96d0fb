# Seven voters of whom each hears only two others: nobody hears a majority, and yet everything is connected. Letters go by
# way of a third, and a dead stack is left. (PROTOCOL.md A.5)
mesh 7 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

part a1 a3
part a1 a4
part a1 a5
part a1 a6
part a2 a4
part a2 a5
part a2 a6
part a2 a7
part a3 a5
part a3 a6
part a3 a7
part a4 a6
part a4 a7
part a5 a7
run 30s
why a1 blog
stack blog east dark
run 60s
state
----
  130.000 *     blog/east: web is Dark
a1 on blog: east stands: nobody whose word counts sees it down
  not ready: west: web long enough up for 3 of 7 voters, 4 are needed
blog: epoch 1 apply idle, active east
