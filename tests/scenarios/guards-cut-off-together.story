# Both guards are cut off from all voters, with a short lease: the primary stays open by the candidate's word, and because nobody hears
# the candidate after it, it is not fenced for nothing.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7 lease=3s window=1s
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

cut a6 a7
run 30s
state
why a1 shop
----
  101.797 a6    holds open by the candidates' word shop/east
  103.002 a6    abstains: hears no majority of voters (and a7)
  103.042 a3    holds shop/east for down: 5 of 5 voters see it down (and a1 a4 a2 a5)
  103.042 a3    leaves shop alone: west is not fit: the guard of db, a7, is heard by 0 of 5 voters (and a1 a4 a2 a5)
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut
a1 on shop: west is not fit: the guard of db, a7, is heard by 0 of 5 voters
  not ready: west: the guard of db, a7, is heard by 0 of 5 voters
  not ready: east takes no writes: its guard a6 holds no lease

heal
run 15s
state
----
  130.000 *     everything is well again
  130.000 *     shop/east: web is Up
  130.000 *     shop/west: web is Up
  130.024 a1    holds shop/east for standing: 0 of 5 voters see it down (and a4 a3 a2 a5)
  130.256 a6    holds open shop/east
  130.971 a6    abstains: is an observer (and a7)
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut
