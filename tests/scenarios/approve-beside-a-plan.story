# A move is planned and waits for answers of before to run out, when the active stack dies: whoever asks is told that a failover
# waits to be approved, and not of the plan alone.
mesh 5 voters 3 regions
app shop outside mode=approve
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1

switchover a1 shop west planned
run 2s
stack shop east dark
run 15s
why a1 shop
approve a1 shop
until shop publishing within 10s
until shop settled within 30s
state
----
  100.146 a1    learns that answers of shop are kept for 5 s at most, and a move to west is planned (and a4 a3 a2 a5)
  100.146 a1    answers: Planned { epoch: Epoch(1), runs_out: 30s }
  100.312 *     publish with 1.1.4 of a2: names east
  102.000 *     shop/east: web is Dark
  111.347 a2    holds shop/east for standing: 1 of 5 voters see it down (and a5 a3 a1 a4)
  111.347 a2    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  114.358 a3    holds shop/east for standing: 2 of 5 voters see it down (and a1 a4 a2 a5)
  114.358 a3    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  114.382 a4    holds shop/east for down: 3 of 5 voters see it down (and a1 a5 a2 a3)
  114.382 a4    leaves shop alone: would move to west (web of east down for 3 of 5 voters in 3 regions), and waits for `quorate approve` (and a1 a3)
  114.395 a5    leaves shop alone: would move to west (web of east down for 3 of 5 voters in 2 regions), and waits for `quorate approve` (and a2)
  114.420 a2    holds shop/east for down: 4 of 5 voters see it down (and a5 a3 a1 a4)
  114.420 a2    leaves shop alone: would move to west (web of east down for 4 of 5 voters in 3 regions), and waits for `quorate approve` (and a5 a3 a1 a4)
  114.467 a1    holds shop/east for down: 5 of 5 voters see it down (and a4 a3 a2 a5)
  114.467 a1    leaves shop alone: would move to west (web of east down for 5 of 5 voters in 3 regions), and waits for `quorate approve` (and a4 a3 a2 a5)
  117.110 a1    learns that answers of shop are kept for 5 s at most (and a4 a3 a2 a5)
  117.110 a1    learns shop epoch 2 publishing at 6.41cd: approved failover, active west, carried out by a1 (web of east down for 5 of 5 voters in 3 regions, approved by operator) (and a4 a3 a2 a5)
  117.121 *     publish with 2.1.4 of a1: names west
  117.202 a1    learns shop epoch 2 verifying at 7.41cd: approved failover, active west, carried out by a1 (web of east down for 5 of 5 voters in 3 regions, approved by operator) (and a4 a3 a2 a5)
  117.270 a1    learns shop epoch 2 idle at 8.41cd: approved failover, active west (web of east down for 5 of 5 voters in 3 regions, approved by operator) (and a4 a3 a2 a5)
a1 on shop: would move to west (web of east down for 5 of 5 voters in 3 regions), and waits for `quorate approve`; moves to west, for operator, once answers of before have run out
shop: epoch 2 approved failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 5 s
