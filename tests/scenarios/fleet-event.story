# SCENARIOS 18: six apps of ten look down at one site, for a minute and a half. That is no site cut, which would need nearly
# all of them: no more than the budget lets go moves. What a person froze stays, a shadow only says what it would do, an
# app that waits for a person waits, and a planned move elsewhere loses nothing meanwhile.
mesh 5 voters 5 regions
app one cooldown=900s
app two cooldown=900s
app three cooldown=900s
app four cooldown=900s
app frozen cooldown=900s
app shadow mode=shadow
app asking mode=approve
app eight
app nine
app ten synchronous
start
----
asking: epoch 1 apply idle, active east
eight: epoch 1 apply idle, active east
four: epoch 1 apply idle, active east
frozen: epoch 1 apply idle, active east
nine: epoch 1 apply idle, active east
one: epoch 1 apply idle, active east
shadow: epoch 1 apply idle, active east
ten: epoch 1 apply idle, active east
  ten/east/db: Up, primary, timeline 1
  ten/west/db: Up, replica, timeline 1, streams
three: epoch 1 apply idle, active east
two: epoch 1 apply idle, active east

freeze a1 frozen 3600s release
run 5s
stack one east dark
stack two east dark
stack three east dark
stack four east dark
stack frozen east dark
stack shadow east dark
run 15s
switchover a2 ten west
run 15s
why a1 shadow
why a1 frozen
run 60s
state
----
  100.096 a1    learns that operator froze frozen for 1 h: release (and a3 a5 a4 a2)
  105.000 *     one/east: web is Dark
  105.000 *     two/east: web is Dark
  105.000 *     three/east: web is Dark
  105.000 *     four/east: web is Dark
  105.000 *     frozen/east: web is Dark
  105.000 *     shadow/east: web is Dark
  113.650 a1    holds three/east for standing: 1 of 5 voters see it down (and a3 a5 a4 a2)
  113.650 a1    leaves three alone: east stands: 1 of 5 voters see it down, 3 are needed (and a3 a5 a4 a2)
  113.720 a4    holds three/east for standing: 2 of 5 voters see it down (and a3 a2 a5 a1)
  113.720 a4    leaves three alone: east stands: 2 of 5 voters see it down, 3 are needed (and a3 a2 a5 a1)
  113.872 a5    holds three/east for down: 3 of 5 voters see it down (and a3 a1 a4 a2)
  114.117 a3    holds three/east for down: 4 of 5 voters see it down (and a4 a1 a5 a2)
  114.239 a1    holds frozen/east for standing: 1 of 5 voters see it down (and a3 a5 a4 a2)
  114.239 a1    leaves frozen alone: east stands: 1 of 5 voters see it down, 3 are needed (and a3 a5 a4 a2)
  114.744 a2    holds three/east for down: 5 of 5 voters see it down (and a4 a3 a1 a5)
  114.827 a1    holds shadow/east for standing: 1 of 5 voters see it down (and a3 a5 a4 a2)
  114.827 a1    leaves shadow alone: east stands: 1 of 5 voters see it down, 3 are needed (and a3 a5 a4 a2)
  115.043 a4    holds one/east for standing: 1 of 5 voters see it down (and a3 a2 a5 a1)
  115.043 a4    leaves one alone: east stands: 1 of 5 voters see it down, 3 are needed (and a3 a2 a5 a1)
  115.266 a2    holds one/east for standing: 2 of 5 voters see it down (and a4 a3 a1 a5)
  115.266 a2    leaves one alone: east stands: 2 of 5 voters see it down, 3 are needed (and a4 a3 a1 a5)
  115.317 a1    holds one/east for down: 3 of 5 voters see it down (and a3 a5 a4 a2)
  115.447 a2    holds shadow/east for standing: 2 of 5 voters see it down (and a4 a3 a1 a5)
  115.447 a2    leaves shadow alone: east stands: 2 of 5 voters see it down, 3 are needed (and a4 a3 a1 a5)
  115.512 a3    holds shadow/east for down: 3 of 5 voters see it down (and a4 a1 a5 a2)
  115.512 a3    leaves shadow alone: would move to west (web of east down for 3 of 5 voters in 3 regions), and is only a shadow (and a4 a1 a5 a2)
  115.611 a3    holds one/east for down: 4 of 5 voters see it down (and a4 a1 a5 a2)
  115.650 a5    holds shadow/east for down: 4 of 5 voters see it down (and a3 a1 a4 a2)
  115.650 a5    leaves shadow alone: would move to west (web of east down for 4 of 5 voters in 4 regions), and is only a shadow (and a3 a1 a4 a2)
  115.921 a4    holds shadow/east for down: 5 of 5 voters see it down (and a3 a2 a5 a1)
  115.921 a4    leaves shadow alone: would move to west (web of east down for 5 of 5 voters in 5 regions), and is only a shadow (and a3 a2 a5 a1)
  115.949 a5    holds one/east for down: 5 of 5 voters see it down (and a3 a1 a4 a2)
  116.047 a5    holds four/east for standing: 1 of 5 voters see it down (and a3 a1 a4 a2)
  116.047 a5    leaves four alone: east stands: 1 of 5 voters see it down, 3 are needed (and a3 a1 a4 a2)
  116.186 a3    holds four/east for standing: 2 of 5 voters see it down (and a4 a1 a5 a2)
  116.186 a3    leaves four alone: east stands: 2 of 5 voters see it down, 3 are needed (and a4 a1 a5 a2)
  116.211 a1    holds four/east for down: 3 of 5 voters see it down (and a3 a5 a4 a2)
  116.378 a4    holds four/east for down: 4 of 5 voters see it down (and a3 a2 a5 a1)
  116.451 a2    holds two/east for standing: 1 of 5 voters see it down (and a4 a3 a1 a5)
  116.451 a2    leaves two alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a1 a5)
  116.605 a2    holds four/east for down: 5 of 5 voters see it down (and a4 a3 a1 a5)
  116.911 a1    holds two/east for standing: 2 of 5 voters see it down (and a3 a5 a4 a2)
  116.911 a1    leaves two alone: east stands: 2 of 5 voters see it down, 3 are needed (and a3 a5 a4 a2)
  117.037 a5    holds two/east for down: 3 of 5 voters see it down (and a3 a1 a4 a2)
  117.088 a5    holds frozen/east for standing: 2 of 5 voters see it down (and a3 a1 a4 a2)
  117.088 a5    leaves frozen alone: east stands: 2 of 5 voters see it down, 3 are needed (and a3 a1 a4 a2)
  117.170 a4    holds frozen/east for down: 3 of 5 voters see it down (and a3 a2 a5 a1)
  117.170 a4    leaves frozen alone: web of east down for 3 of 5 voters in 3 regions, and frozen by operator for 60 min more (and a3 a2 a5 a1)
  117.279 a3    holds frozen/east for down: 4 of 5 voters see it down (and a4 a1 a5 a2)
  117.279 a3    leaves frozen alone: web of east down for 4 of 5 voters in 4 regions, and frozen by operator for 60 min more (and a4 a1 a5 a2)
  117.308 a2    holds frozen/east for down: 5 of 5 voters see it down (and a4 a3 a1 a5)
  117.308 a2    leaves frozen alone: web of east down for 5 of 5 voters in 5 regions, and frozen by operator for 60 min more (and a4 a3 a1 a5)
  117.820 a4    holds two/east for down: 4 of 5 voters see it down (and a3 a2 a5 a1)
  117.830 a3    holds two/east for down: 5 of 5 voters see it down (and a4 a5 a1 a2)
  118.956 a5    refuses 50.10df for one: another app was begun just now, 2000 ms too soon (and a3 a1 a4 a2)
  118.956 a5    refuses 51.10df for three: another app was begun just now, 2000 ms too soon (and a3 a1 a4 a2)
  119.005 a5    learns four epoch 2 publishing at 49.10df: failover, active west, carried out by a5 (web of east down for 5 of 5 voters in 5 regions) (and a3 a1 a4 a2)
  119.101 a5    learns four epoch 2 verifying at 52.10df: failover, active west, carried out by a5 (web of east down for 5 of 5 voters in 5 regions) (and a3 a1 a4 a2)
  119.198 a5    learns four epoch 2 idle at 53.10df: failover, active west (web of east down for 5 of 5 voters in 5 regions) (and a3 a1 a4 a2)
  120.142 a2    learns ten epoch 2 fencing at 54.bfcd: switchover, active east, carried out by a2 (switchover asked for by operator) (and a4 a3 a1 a5)
  120.158 *     fence with 2.1.1 of a2: read-only, sessions ended
  120.308 a2    learns ten epoch 2 promoting at 55.bfcd: switchover, active east, carried out by a2 (switchover asked for by operator) (and a4 a3 a1 a5)
  120.361 *     promote with 2.1.3 of a2: promoted to timeline 2
  120.486 a2    learns ten epoch 2 publishing at 56.bfcd: switchover, active west, carried out by a2 (switchover asked for by operator) (and a4 a3 a1 a5)
  120.603 a2    learns ten epoch 2 verifying at 57.bfcd: switchover, active west, carried out by a2 (switchover asked for by operator) (and a4 a3 a1 a5)
  120.946 a2    learns ten epoch 2 idle at 58.bfcd: switchover, active west (switchover asked for by operator) (and a4 a3 a1 a5)
  121.082 a2    refuses 60.bfcd for three: 2 other apps are being moved, or were just now, and 2 at once are enough (and a4 a3 a1 a5)
  121.111 a3    leaves three alone: web of east down for 5 of 5 voters in 5 regions, and 2 other apps are being moved, or were just now, and 2 at once are enough (and a1 a2 a4)
  121.113 a4    leaves two alone: web of east down for 5 of 5 voters in 5 regions, and 2 other apps are being moved, or were just now, and 2 at once are enough (and a3 a1 a2 a5)
  121.123 a5    refuses 59.bfcd for one: 2 other apps are being moved, or were just now, and 2 at once are enough
  121.138 a3    refuses 61.10df for two: 2 other apps are being moved, or were just now, and 2 at once are enough (and a1 a4 a2)
  121.140 a2    learns one epoch 2 publishing at 59.bfcd: failover, active west, carried out by a2 (web of east down for 5 of 5 voters in 5 regions) (and a4 a3 a1 a5)
  121.257 a2    learns one epoch 2 verifying at 62.bfcd: failover, active west, carried out by a2 (web of east down for 5 of 5 voters in 5 regions) (and a4 a3 a1 a5)
  121.375 a2    learns one epoch 2 idle at 63.bfcd: failover, active west (web of east down for 5 of 5 voters in 5 regions) (and a4 a3 a1 a5)
  122.605 a5    leaves three alone: web of east down for 5 of 5 voters in 5 regions, and 3 other apps are being moved, or were just now, and 2 at once are enough (and a2 a4 a3 a1)
  123.803 a5    learns two epoch 2 publishing at 64.10df: failover, active west, carried out by a5 (web of east down for 5 of 5 voters in 5 regions) (and a3 a1 a4 a2)
  123.900 a5    learns two epoch 2 verifying at 65.10df: failover, active west, carried out by a5 (web of east down for 5 of 5 voters in 5 regions) (and a3 a1 a4 a2)
  123.997 a5    learns two epoch 2 idle at 66.10df: failover, active west (web of east down for 5 of 5 voters in 5 regions) (and a3 a1 a4 a2)
  159.992 a2    leaves frozen alone: web of east down for 5 of 5 voters in 5 regions, and frozen by operator for 59 min more (and a4 a5 a3 a1)
a1 on shadow: would move to west (web of east down for 5 of 5 voters in 5 regions), and is only a shadow
a1 on frozen: web of east down for 5 of 5 voters in 5 regions, and frozen by operator for 60 min more
  not ready: frozen by operator for 60 min more
asking: epoch 1 apply idle, active east
eight: epoch 1 apply idle, active east
four: epoch 2 failover idle, active west
frozen: epoch 1 apply idle, active east
nine: epoch 1 apply idle, active east
one: epoch 2 failover idle, active west
shadow: epoch 1 apply idle, active east
ten: epoch 2 switchover idle, active west
  ten/east/db: Up, primary, timeline 1, closed
  ten/west/db: Up, primary, timeline 2
three: epoch 1 apply idle, active east
two: epoch 2 failover idle, active west

# It was no more than a look: everything is up again, and nothing goes back by itself.
stack one east up
stack two east up
stack three east up
stack four east up
stack frozen east up
stack shadow east up
run 120s
state
----
  195.000 *     one/east: web is Up
  195.000 *     two/east: web is Up
  195.000 *     three/east: web is Up
  195.000 *     four/east: web is Up
  195.000 *     frozen/east: web is Up
  195.000 *     shadow/east: web is Up
  195.052 a1    holds three/east for down: 4 of 5 voters see it down (and a3 a5 a4 a2)
  195.052 a1    leaves three alone: web of east down for 4 of 5 voters in 4 regions, and 3 other apps are being moved, or were just now, and 2 at once are enough (and a3 a5 a4 a2)
  195.110 a5    holds shadow/east for down: 4 of 5 voters see it down (and a3 a1 a4 a2)
  195.110 a5    leaves shadow alone: would move to west (web of east down for 4 of 5 voters in 4 regions), and is only a shadow (and a3 a1 a4 a2)
  195.178 a4    holds frozen/east for down: 4 of 5 voters see it down (and a3 a2 a5 a1)
  195.178 a4    leaves frozen alone: web of east down for 4 of 5 voters in 4 regions, and frozen by operator for 59 min more (and a3 a2 a5 a1)
  195.237 a1    holds frozen/east for contested: 3 of 5 voters see it down (and a3 a5 a4 a2)
  195.237 a1    leaves frozen alone: east is contested: 3 of 5 voters see it down, 2 see it up (and a3 a5 a4 a2)
  195.276 a2    holds frozen/east for standing: 2 of 5 voters see it down (and a4 a3 a1 a5)
  195.276 a2    leaves frozen alone: east stands: 2 of 5 voters see it down, 3 are needed (and a4 a3 a1 a5)
  195.282 a5    holds three/east for contested: 3 of 5 voters see it down (and a3 a1 a4 a2)
  195.282 a5    leaves three alone: east is contested: 3 of 5 voters see it down, 2 see it up (and a3 a1 a4 a2)
  195.388 a4    holds three/east for standing: 2 of 5 voters see it down (and a3 a2 a5 a1)
  195.388 a4    leaves three alone: east stands: 2 of 5 voters see it down, 3 are needed (and a3 a2 a5 a1)
  195.407 a2    holds shadow/east for contested: 3 of 5 voters see it down (and a4 a3 a1 a5)
  195.407 a2    leaves shadow alone: east is contested: 3 of 5 voters see it down, 2 see it up (and a4 a3 a1 a5)
  195.415 a2    holds three/east for standing: 1 of 5 voters see it down (and a3 a4 a1 a5)
  195.415 a2    leaves three alone: east stands: 1 of 5 voters see it down, 3 are needed (and a3 a4 a1 a5)
  195.438 a4    holds three/east for standing: 0 of 5 voters see it down (and a3 a1 a5 a2)
  195.443 a4    holds shadow/east for standing: 2 of 5 voters see it down (and a3 a2 a5 a1)
  195.443 a4    leaves shadow alone: east stands: 2 of 5 voters see it down, 3 are needed (and a3 a2 a5 a1)
  195.471 a3    holds shadow/east for standing: 1 of 5 voters see it down (and a4 a1 a5 a2)
  195.471 a3    leaves shadow alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a1 a5 a2)
  195.486 a3    holds frozen/east for standing: 1 of 5 voters see it down (and a4 a1 a5 a2)
  195.486 a3    leaves frozen alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a1 a5 a2)
  195.509 a1    holds shadow/east for standing: 0 of 5 voters see it down (and a3 a5 a4 a2)
  195.547 a5    holds frozen/east for standing: 0 of 5 voters see it down (and a3 a1 a4 a2)
asking: epoch 1 apply idle, active east
eight: epoch 1 apply idle, active east
four: epoch 2 failover idle, active west
frozen: epoch 1 apply idle, active east
nine: epoch 1 apply idle, active east
one: epoch 2 failover idle, active west
shadow: epoch 1 apply idle, active east
ten: epoch 2 switchover idle, active west
  ten/east/db: Up, primary, timeline 1, closed
  ten/west/db: Up, primary, timeline 2
three: epoch 1 apply idle, active east
two: epoch 2 failover idle, active west
