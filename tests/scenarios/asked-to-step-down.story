# An operator moves an app whose databases elect by themselves: the primary is asked to step down, the set elects the member
# where it is to go, and DNS follows. While that member is dead, or the app is frozen, nobody is asked.
mesh 5 voters 3 regions
app shop engine=mongodb
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

verbose
freeze a1 shop 60s maintenance
run 1s
switchover a1 shop west
run 1s
unfreeze a1 shop
run 1s
----
  100.000 a1    proposes for shop at 5.41cd: freeze for 1 min, for operator
  100.051 *     agreed for shop: epoch 1 apply idle, east to east
  100.068 a1    learns that operator froze shop for 1 min: maintenance (and a4 a3 a2 a5)
  100.068 a1    answers: Agreed { epoch: Epoch(1), revision: 1 }
  101.000 a1    answers: Refused("frozen by operator for less than a minute more")
  102.000 a1    proposes for shop at 6.41cd: unfreeze, for operator
  102.051 *     agreed for shop: epoch 1 apply idle, east to east
  102.068 a1    learns that shop is no longer frozen (and a4 a3 a2 a5)

database shop west dark
run 15s
switchover a1 shop west
run 2s
database shop west up
run 30s
----
  103.000 *     shop/west/db is Dark
  109.253 a4    judges shop/west/db degraded: no answer within 4000 ms (and a3 a2 a5 a1)
  113.795 a4    judges shop/west/db down: no answer within 4000 ms (and a3 a2 a5 a1)
  118.000 a1    answers: Refused("west has a member of db that could be elected now for 0 of 5 voters, 3 are needed")
  120.000 *     shop/west/db is Up
  120.233 a2    judges shop/west/db up (and a5 a4 a1 a3)

switchover a1 shop west
run 10s
switchover a1 shop east
run 2s
state
----
  150.034 a1    acts for shop with 1.1.4: ask db at 198.51.100.1:5432 to step down from election 1
  150.036 *     step down with 1.1.4 of a1: steps down
  150.066 a1    is done for shop with 1.1.4: steps down
  156.012 a2    proposes for shop at 7.bfcd: failover
  156.030 a1    proposes for shop at 7.41cd: switchover, for operator
  156.107 a1    gives up 7.41cd for shop: 7.bfcd was promised
  156.175 *     agreed for shop: epoch 2 failover publishing, east to west
  156.210 a2    learns shop epoch 2 publishing at 7.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  156.210 a2    proposes for shop at 8.bfcd: verify after publishing
  156.315 *     agreed for shop: epoch 2 failover verifying, east to west
  156.349 a2    learns shop epoch 2 verifying at 8.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  156.349 a2    proposes for shop at 9.bfcd: finish after verifying
  156.454 *     agreed for shop: epoch 2 failover idle, east to west
  156.489 a2    learns shop epoch 2 idle at 9.bfcd: failover, active west (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  157.029 a1    answers: Unchanged
  160.000 a1    answers: Refused("its primary was asked 9 s ago, and is once in 1 min at most")
shop: epoch 2 failover idle, active west
  shop/east/db: Up, replica, timeline 2, streams
  shop/west/db: Up, primary, timeline 2
