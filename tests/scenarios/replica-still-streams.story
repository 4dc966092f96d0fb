# Every agent is cut off from the active stack, but its replica still streams: a veto.
mesh 5 voters 3 regions
app shop synchronous
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

blind a1 a2 a3 a4 a5 shop east
run 60s
why a1 shop
state
----
  109.563 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  109.563 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  109.818 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a3 a1 a4)
  109.826 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  110.072 a5    holds shop/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  110.072 a5    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a2 a3 a1 a4)
  110.107 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a2 a5)
  110.602 a4    holds shop/east for down: 5 of 5 voters see it down (and a1 a3 a2 a5)
  110.940 a5    leaves shop alone: shop/west/db still streams from east: the mesh is blind, not the stack dead (and a2 a3 a1 a4)
a1 on shop: shop/west/db still streams from east: the mesh is blind, not the stack dead
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams
