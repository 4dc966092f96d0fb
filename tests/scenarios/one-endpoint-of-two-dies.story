# One of two web servers of the active stack dies: the stack stands, and no agent's DNS hands that one out; once it is steady it
# is handed out again. When both die and nothing can be moved to, answers stay what they are: they turn over for nobody.
mesh 5 voters 3 regions
app shop endpoints=2
start
----
shop: epoch 1 apply idle, active east

endpoint shop east web-1 dark
run 60s
----
  100.000 *     shop/east/web-1 is Dark
  110.913 a5    hands out shop/east without web-1 (and a2 a3 a1 a4)

endpoint shop east web-1 up
run 40s
----
  160.000 *     shop/east/web-1 is Up

run 40s
----
  221.024 a3    hands out all endpoints of shop/east (and a1 a4 a2 a5)

stack shop west down
run 20s
web shop east dark
run 60s
state
----
  240.000 *     shop/west: web is Refusing
  260.000 *     shop/east: web is Dark
  267.779 a5    holds shop/east for standing: 1 of 5 voters see it down (and a2 a3 a1 a4)
  267.779 a5    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  267.923 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a1 a4 a3)
  267.923 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a1 a4 a3)
  267.953 a4    holds shop/east for down: 3 of 5 voters see it down (and a1 a3 a2 a5)
  267.953 a4    leaves shop alone: west is not fit: web long enough up for 0 of 5 voters, 3 are needed (and a1 a3 a2 a5)
  267.961 a1    holds shop/east for down: 4 of 5 voters see it down (and a4 a3 a2 a5)
  267.994 a3    holds shop/east for down: 5 of 5 voters see it down (and a1 a4 a2 a5)
shop: epoch 1 apply idle, active east
