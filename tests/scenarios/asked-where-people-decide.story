# In mode approve nobody but a person moves an app whose databases elect by themselves: the primary is asked to step down, and DNS
# follows under the operator's own decision. Nothing of it counts as done by the mesh.
mesh 5 voters 3 regions
app shop engine=mongodb mode=approve
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

verbose
switchover a1 shop west
run 15s
state
----
  100.034 a1    acts for shop with 1.1.4: ask db at 198.51.100.1:5432 to step down from election 1
  100.048 *     step down with 1.1.4 of a1: steps down
  100.056 a1    is done for shop with 1.1.4: steps down
  106.026 a1    proposes for shop at 5.41cd: switchover, for operator
  106.168 *     agreed for shop: epoch 2 switchover publishing, east to west
  106.185 a1    learns shop epoch 2 publishing at 5.41cd: switchover, active west, carried out by a1 (switchover asked for by operator) (and a4 a3 a2 a5)
  106.185 a1    answers: Agreed { epoch: Epoch(2), revision: 1 }
  106.185 a1    proposes for shop at 6.41cd: verify after publishing
  106.236 *     agreed for shop: epoch 2 switchover verifying, east to west
  106.253 a1    learns shop epoch 2 verifying at 6.41cd: switchover, active west, carried out by a1 (switchover asked for by operator) (and a4 a3 a2 a5)
  106.253 a1    proposes for shop at 7.41cd: finish after verifying
  106.305 *     agreed for shop: epoch 2 switchover idle, east to west
  106.322 a1    learns shop epoch 2 idle at 7.41cd: switchover, active west (switchover asked for by operator) (and a4 a3 a2 a5)
shop: epoch 2 switchover idle, active west
  shop/east/db: Up, replica, timeline 2, streams
  shop/west/db: Up, primary, timeline 2
