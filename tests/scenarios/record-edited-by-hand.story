# Somebody edits, by hand, a record that the mesh publishes through a driver. It is put back within the check interval, for
# as long as the decision stands: by the one agent that asks whoever holds the zone, under the token of that decision, so
# nothing that is agreed changes. A frozen app is left alone; what was edited meanwhile is put back once it is let go.
mesh 5 voters 3 regions
app shop outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1

edit shop.example.com 192.0.2.99
run 35s
state
----
  100.000 *     somebody has shop.example.com hold 192.0.2.99
  104.035 a2    finds shop.example.com of shop changed: holds 192.0.2.99, decided was 198.51.100.1
  104.156 *     publish with 1.1.4 of a2: names east
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 3

freeze a1 shop 120s edits by hand
run 1s
edit shop.example.com 192.0.2.98
run 35s
state
----
  135.068 a1    learns that operator froze shop for 2 min: edits by hand (and a4 a3 a2 a5)
  136.000 *     somebody has shop.example.com hold 192.0.2.98
  167.032 a2    finds shop.example.com of shop changed: holds 192.0.2.98, decided was 198.51.100.1
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 192.0.2.98, change 4

unfreeze a1 shop
run 35s
state
----
  171.068 a1    learns that shop is no longer frozen (and a4 a3 a2 a5)
  175.159 *     publish with 1.1.4 of a2: names east
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 5

stack shop east dark
run 30s
edit shop.example.com 192.0.2.97
run 35s
state
----
  206.000 *     shop/east: web is Dark
  211.747 a2    learns that answers of shop are kept for 5 s at most (and a5 a3 a1 a4)
  211.804 *     publish with 1.1.4 of a2: names east
  215.501 a4    holds shop/east for standing: 1 of 5 voters see it down (and a1 a3 a2 a5)
  215.501 a4    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  215.599 a5    holds shop/east for standing: 2 of 5 voters see it down (and a2 a3 a1 a4)
  215.599 a5    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  216.176 a1    holds shop/east for down: 3 of 5 voters see it down (and a4 a3 a2 a5)
  216.359 a2    learns shop epoch 2 publishing at 8.bfcd: failover, active west, carried out by a2 (web of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  216.416 *     publish with 2.1.4 of a2: names west
  216.587 a2    learns shop epoch 2 verifying at 9.bfcd: failover, active west, carried out by a2 (web of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  216.727 a2    learns shop epoch 2 idle at 10.bfcd: failover, active west (web of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  236.000 *     somebody has shop.example.com hold 192.0.2.97
  248.046 a4    finds shop.example.com of shop changed: holds 192.0.2.97, decided was 198.51.100.2
  248.127 *     publish with 2.1.4 of a4: names west
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 8, kept 5 s
