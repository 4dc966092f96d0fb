# One agent's resolver is poisoned, or merely has another view: it proposes what it finds, and nobody else finds it. Nothing is
# agreed, however often it tries. Once the source truly moves and a majority finds so, it is.
mesh 5 voters 3 regions
app shop follows
start
----
shop: epoch 1 apply idle, active east

source shop east 198.51.100.1
source shop west 198.51.100.2
lie a1 shop east 203.0.113.66
run 60s
state
----
  100.000 *     the source of shop/east tells 198.51.100.1
  100.000 *     the source of shop/west tells 198.51.100.2
  100.000 *     a1 alone is told 203.0.113.66 of shop/east
  110.034 a2    finds web of shop/east at 198.51.100.1 (and a4 a5 a3)
  110.034 a2    finds web of shop/west at 198.51.100.2 (and a4 a5 a3 a1)
  110.060 a1    finds web of shop/east at 203.0.113.66
shop: epoch 1 apply idle, active east

source shop east 198.51.100.1 203.0.113.66
run 30s
tell-all-alike
run 30s
state
----
  160.000 *     the source of shop/east tells 198.51.100.1 203.0.113.66
  165.032 a2    finds web of shop/east at 198.51.100.1, 203.0.113.66 (and a4 a5 a3 a1)
  165.220 a2    learns shop epoch 2 publishing at 5.bfcd: follow, active east (follows east/web +203.0.113.66) (and a5 a3 a1 a4)
  165.547 a5    learns shop epoch 2 publishing at 6.10df: follow, active east, carried out by a5 (follows east/web +203.0.113.66) (and a2 a3 a1 a4)
  165.686 a5    learns shop epoch 2 verifying at 7.10df: follow, active east, carried out by a5 (follows east/web +203.0.113.66) (and a2 a3 a1 a4)
  165.825 a5    learns shop epoch 2 idle at 8.10df: follow, active east (follows east/web +203.0.113.66) (and a2 a3 a1 a4)
  170.898 a4    refuses 9.41cd for shop: my source of east/web names 198.51.100.1 (and a3 a2 a5)
  173.585 a1    learns shop epoch 4 publishing at 10.41cd: abort, active east, carried out by a1 (too few accepted it) (and a4 a3 a2 a5)
  173.653 a1    learns shop epoch 4 verifying at 11.41cd: abort, active east, carried out by a1 (too few accepted it) (and a4 a3 a2 a5)
  173.721 a1    learns shop epoch 4 idle at 12.41cd: abort, active east (too few accepted it) (and a4 a3 a2 a5)
shop: epoch 4 abort idle, active east
