# A majority doubts the active stack: records that a driver publishes are shortened before anything is decided, and the failover
# that follows waits for none of it.
mesh 5 voters 3 regions
app shop outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1

stack shop east down
run 2s
state
----
  100.000 *     shop/east: web is Refusing
  101.708 a2    learns that answers of shop are kept for 5 s at most (and a5 a3 a1 a4)
  101.728 *     publish with 1.1.4 of a2: names east
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1, kept 5 s

run 20s
state
----
  104.709 a1    holds shop/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  104.709 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  104.864 a4    holds shop/east for standing: 2 of 5 voters see it down (and a1 a3 a2 a5)
  104.864 a4    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  105.012 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a2 a5)
  105.056 a5    holds shop/east for down: 4 of 5 voters see it down (and a3 a1 a4)
  105.193 a2    learns shop epoch 2 publishing at 6.bfcd: failover, active west, carried out by a2 (web of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  105.226 *     publish with 2.1.4 of a2: names west
  105.395 a2    learns shop epoch 2 verifying at 7.bfcd: failover, active west, carried out by a2 (web of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  105.535 a2    learns shop epoch 2 idle at 8.bfcd: failover, active west (web of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 5 s

run 400s
state
----
  165.573 a4    learns that answers of shop are kept for 20 s at most (and a1 a3 a2 a5)
  165.584 *     publish with 2.1.4 of a4: names west
  225.642 a4    learns that answers of shop are kept as defined (and a1 a3 a2 a5)
  225.669 *     publish with 2.1.4 of a4: names west
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2
