# Records that a driver publishes may be kept for half a minute: before a planned move their lifetime is shortened, and the
# move begins once that is seen and the old answers have run out. Afterwards lifetimes grow again, step by step.
mesh 5 voters 3 regions
app shop outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1

switchover a3 shop west planned
run 20s
state
----
  100.163 a3    learns that answers of shop are kept for 5 s at most, and a move to west is planned (and a1 a4 a2 a5)
  100.163 a3    answers: Planned { epoch: Epoch(1), runs_out: 30s }
  100.326 *     publish with 1.1.4 of a2: names east
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1, kept 5 s

run 20s
state
----
  131.217 a2    learns that answers of shop are kept for 5 s at most (and a5 a3 a1 a4)
  131.217 a2    learns shop epoch 2 publishing at 6.bfcd: switchover, active west, carried out by a2 (switchover asked for by operator) (and a5 a3 a1 a4)
  131.271 *     publish with 2.1.4 of a2: names west
  131.415 a2    learns shop epoch 2 verifying at 7.bfcd: switchover, active west, carried out by a2 (switchover asked for by operator) (and a5 a3 a1 a4)
  131.554 a2    learns shop epoch 2 idle at 8.bfcd: switchover, active west (switchover asked for by operator) (and a5 a3 a1 a4)
shop: epoch 2 switchover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 5 s

run 400s
state
----
  191.592 a4    learns that answers of shop are kept for 20 s at most (and a1 a3 a2 a5)
  191.616 *     publish with 2.1.4 of a4: names west
  251.662 a4    learns that answers of shop are kept as defined (and a1 a3 a2 a5)
  251.701 *     publish with 2.1.4 of a4: names west
shop: epoch 2 switchover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2

# Called off by any agent while it waits, it does not begin.
switchover a3 shop east planned
run 5s
abort a1 shop
run 60s
state
----
  540.155 a3    learns that answers of shop are kept for 5 s at most, and a move to east is planned (and a1 a4 a2 a5)
  540.155 a3    answers: Planned { epoch: Epoch(2), runs_out: 30s }
  540.212 *     publish with 2.1.4 of a4: names west
  545.068 a1    learns that answers of shop are kept for 5 s at most (and a4 a3 a2 a5)
  600.242 a4    learns that answers of shop are kept for 20 s at most (and a1 a3 a2 a5)
  600.286 *     publish with 2.1.4 of a4: names west
shop: epoch 2 switchover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 20 s
