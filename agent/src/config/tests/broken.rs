//! One break each in a small good file, and all that is said of it.

/// What stands in the good file, what stands there instead, and the lines that are said.
type Case = (&'static str, &'static str, &'static [&'static str]);

pub const CASES: &[Case] = &[
    (
        "name = \"shop\"",
        "name = \"Shop & Co\"",
        &[
            "f:2:8: `name`: expected 1 to 63 of a-z, 0-9, `-` and `_`, starting with a letter or digit, found `Shop & Co`; did you mean `shop-co`?",
        ],
    ),
    ("name = \"shop\"", "name = 'shop'\nname = 'shup'", &["f:3:1: `name` is set twice"]),
    (
        "name = \"shop\"",
        "name = shop",
        &["f:2:8: expected a value; a text stands in quotes, `\"…\"`"],
    ),
    ("[app]", "[app", &["f:1:5: unclosed table, expected `]`"]),
    (
        "[app]",
        "[app]\ninterval = \"5s\"",
        &["f:2:1: unknown key `interval` in `[app]`: it belongs in `[probe]`"],
    ),
    ("[app]", "[[app]]", &["f:1:1: `app` is given once: write `[app]` in place of `[[app]]`"]),
    (
        "[[stack]]\nname = \"a\"",
        "[stack]\nname = \"a\"",
        &[
            "f:9:1: `stack` may be given several times: write `[[…]]` in place of `[…]`",
            "f:13:3: `stack` is set twice",
        ],
    ),
    (
        "[data]",
        "[probe]\nwindow = \"900ms\"\n[data]",
        &[
            "f:4:10: `window`: expected a duration from `1s` to `10m`, such as `500ms`, `8s`, `5m` or `1h`, found `900ms`",
        ],
    ),
    (
        "[data]",
        "[probe]\ntimeout = \"9s\"\n[data]",
        &[
            "f:4:11: `timeout`: expected at most the window, `8s`, found `9s`: a look that is still waiting says nothing",
        ],
    ),
    (
        "[data]",
        "[probe]\nwindow = \"2s\"\n[data]",
        &[
            "f:3:1: warning: an interval (`5s`) longer than the window (`2s`): a failure may be noticed that much later",
        ],
    ),
    (
        "[data]",
        "[probe]\ninterval = 5\n[data]",
        &[
            "f:4:12: `interval`: expected a duration from `100ms` to `10m`, such as `500ms`, `8s`, `5m` or `1h`, found the number `5`; did you mean `\"5s\"`?",
        ],
    ),
    (
        "[data]",
        "[quorum]\nregions = 0\n[data]",
        &["f:4:11: `regions`: expected a whole number from 1 to 64, found the number `0`"],
    ),
    (
        "[data]",
        "[quorum]\nregions = 1\n[data]",
        &["f:4:11: warning: `regions = 1`: one region cut off from the app can move it"],
    ),
    (
        "[data]",
        "[data]\nmax_loss = \"500ms\"",
        &[
            "f:4:12: `max_loss`: expected `0`, a size such as `16MiB` or a time from `1s` to `24h`, found `500ms`",
        ],
    ),
    (
        "[data]",
        "[data]\nmax_loss = 0",
        &[
            "f:4:12: `max_loss`: expected `0`, a size such as `16MiB` or a time from `1s` to `24h`, found the number `0`; write it in quotes: `\"0\"`",
        ],
    ),
    (
        "[data]",
        "[data]\nmax_loss = \"16MB\"",
        &[
            "f:4:12: `max_loss`: expected `0`, a size such as `16MiB` or a time from `1s` to `24h`, found `16MB`; did you mean `16MiB`?",
        ],
    ),
    (
        "[data]",
        "[data]\nacross = \"true\"",
        &["f:4:10: `across`: expected `true` or `false`, found `true`; without quotes"],
    ),
    (
        "dns-only",
        "best_effort",
        &[
            "f:4:11: `fencing`: expected `required`, `best-effort` or `dns-only`, found `best_effort`; did you mean `best-effort`?",
        ],
    ),
    ("name = \"b\"", "name = \"a\"", &["f:14:8: stack `a` is named twice"]),
    (
        "[[stack]]\nname = \"b\"\n[[stack.endpoint]]\nurl = \"http://192.0.2.2/\"\n",
        "",
        &["f:9:1: warning: one stack alone: there is nothing to fail over to"],
    ),
    (
        "url = \"http://192.0.2.2/\"",
        "url = \"http://web.example/\"",
        &[
            "f:17:1: stack `b` cannot answer record `shop.example` A: no endpoint of it has an IPv4 address in its URL; give `values = { b = [\"…\"] }`",
        ],
    ),
    (
        "url = \"http://192.0.2.2/\"",
        "url = \"192.0.2.2:80\"",
        &[
            "f:16:7: `url`: expected `http(s)://host[:port]/path` or `tcp://host:port`, found `192.0.2.2:80`; it begins with `http://`, `https://` or `tcp://`",
        ],
    ),
    (
        "url = \"http://192.0.2.2/\"",
        "url = \"http://192.0.2.2/\"\nfollow = \"web.internal\"",
        &[
            "f:17:10: `follow`: expected `dns:NAME`, `dns://SERVER[:PORT]/NAME`, `http(s)://…` or the absolute path of a file, found `web.internal`",
        ],
    ),
    (
        "url = \"http://192.0.2.2/\"",
        "url = \"tcp://192.0.2.2:80\"\nexpect = { body = \"x\" }",
        &[
            "f:16:7: a `tcp://` endpoint is connected to and nothing said: `host` and `expect` go with HTTP",
        ],
    ),
    (
        "url = \"http://192.0.2.2/\"",
        "url = \"http://192.0.2.2/\"\nexpect = { status = [99, \"200\"] }",
        &[
            "f:17:22: `status`: expected a whole number from 100 to 599, found the number `99`",
            "f:17:26: `status`: expected a whole number from 100 to 599, found `200`; without quotes: `200`",
        ],
    ),
    (
        "url = \"http://192.0.2.2/\"",
        "url = \"https://192.0.2.2/\"\nauthority = \"ca.pem\"",
        &[
            "f:17:13: `authority`: expected PEM, found `ca.pem`: a path means nothing here, apply the file with `quorate`",
        ],
    ),
    (
        "url = \"http://192.0.2.2/\"",
        "url = \"https://192.0.2.2/\"\nauthority = \"-----BEGIN X\"",
        &["f:17:13: `authority`: expected one or more PEM certificates"],
    ),
    (
        "url = \"http://192.0.2.2/\"",
        "url = \"http://192.0.2.2/\"\nname=\"w\"\n[[stack.endpoint]]\nurl = \"http://192.0.2.3/\"\nname = \"w\"",
        &["f:20:8: target `w` is named twice in stack `b`"],
    ),
    (
        "[[stack.endpoint]]\nurl = \"http://192.0.2.2/\"",
        "",
        &[
            "f:13:1: stack `b` has neither `[[stack.endpoint]]` nor `[[stack.database]]`: nothing to look at",
            "f:16:1: stack `b` cannot answer record `shop.example` A: no endpoint of it has an IPv4 address in its URL; give `values = { b = [\"…\"] }`",
        ],
    ),
    (
        "[[record]]",
        "[[stack.database]]\nname = \"orders\"\nengine = \"postgres\"\naddress = \"192.0.2.9:5432\"\ncredential = \"orders\"\n[[record]]",
        &[
            "f:9:1: stack `a` lacks database `orders`, which stack `b` has: every stack needs a replica",
        ],
    ),
    (
        "[[record]]",
        "[[stack.database]]\nname = \"orders\"\nengine = \"mongodb\"\naddress = \"192.0.2.9\"\nguard = \"db-1\"\nview = \"gard\"\n[[record]]",
        &[
            "f:17:1: `[[stack.database]]` lacks `credential`: expected 1 to 63 of a-z, 0-9, `-` and `_`, starting with a letter or digit",
            "f:20:11: `address`: expected `host:port`, found `192.0.2.9`; the port is missing",
            "f:22:8: `view`: expected `direct` or `guard`, found `gard`; did you mean `guard`?",
        ],
    ),
    (
        "[[record]]",
        "[[stack.database]]\nname = \"orders\"\nengine = \"postgres\"\naddress = \"192.0.2.9:5432\"\ncredential = \"orders\"\nview = \"guard\"\n[[record]]",
        &[
            "f:9:1: stack `a` lacks database `orders`, which stack `b` has: every stack needs a replica",
            "f:22:8: `view = \"guard\"` needs a `guard` to look at it",
        ],
    ),
    (
        "[[record]]",
        "[[stack.database]]\nname = \"orders\"\nengine = \"postgres\"\naddress = \"192.0.2.9:5432\"\ncredential = \"orders\"\nguard = \"db-1\"\n[[record]]",
        &[
            "f:9:1: stack `a` lacks database `orders`, which stack `b` has: every stack needs a replica",
            "f:22:9: `guard` goes with databases that are promoted, not with `fencing = \"dns-only\"`",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"AAAA\"",
        &[
            "f:17:1: stack `a` cannot answer record `shop.example` AAAA: no endpoint of it has an IPv6 address in its URL; give `values = { a = [\"…\"] }`",
            "f:17:1: stack `b` cannot answer record `shop.example` AAAA: no endpoint of it has an IPv6 address in its URL; give `values = { b = [\"…\"] }`",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"a\"",
        &[
            "f:19:8: `type`: expected `A`, `AAAA`, `CNAME`, `TXT`, `SRV`, `CAA` or `HTTPS`, found `a`; did you mean `A`?",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"MX\"",
        &[
            "f:19:8: `type`: `MX` is not supported yet: this version publishes A, AAAA, CNAME, TXT, SRV, CAA and HTTPS",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\nttl = 0",
        &["f:20:7: `ttl`: expected a whole number from 1 to 86400, found the number `0`"],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\nttl = 30\ndriver = \"cloudflare\"\nzone = \"example\"\ncredential = \"dns\"\nzone_id = \"0123456789abcdef0123456789abcdef\"",
        &["f:20:7: warning: `cloudflare` takes no lifetime below 60 seconds: 60 it is"],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\ndriver = \"cloudflare\"\nzone = \"example\"\ncredential = \"dns\"\nzone_id = \"0123456789abcdef0123456789abcdef\"",
        &[],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\nttl = \"30\"",
        &[
            "f:20:7: `ttl`: expected a whole number from 1 to 86400, found `30`; without quotes: `30`",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"CNAME\"\nvalues = { a = [\"x.example\"], b = [\"y.example\", \"-\"] }",
        &[
            "f:18:8: a CNAME cannot stand at the apex of zone `shop.example`: use A or AAAA",
            "f:20:49: a CNAME has one value",
            "f:20:49: expected a DNS name, found `-`",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\nvalues = { a = [\"192.0.2.7\"] }",
        &["f:17:1: stack `b` cannot answer record `shop.example` A: `values` has nothing for it"],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\nvalues = { a = [\"192.0.2.7\"], bb = [\"::1\"], b = [] }",
        &[
            "f:20:31: no stack is named `bb`: did you mean `b`?",
            "f:20:45: stack `b` would answer nothing: expected one value or more",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\nvalues = { a = \"192.0.2.7\", b = [\"::1\"] }",
        &["f:20:16: `values.a`: expected a list, `[…]`, each a text, found `192.0.2.7`"],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\ndriver = \"rfc2136\"",
        &[
            "f:17:1: `driver = \"rfc2136\"` lacks `server`: expected the zone's primary server, `host:port`",
            "f:17:1: `driver = \"rfc2136\"` lacks `zone`: expected the zone to change",
            "f:17:1: `driver = \"rfc2136\"` lacks `credential`: expected the name of a TSIG key",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\ndriver = \"route53\"",
        &[
            "f:17:1: `driver = \"route53\"` lacks `zone`: expected the zone to change",
            "f:17:1: `driver = \"route53\"` lacks `credential`: expected the name of an access key",
            "f:17:1: `driver = \"route53\"` lacks `zone_id`: expected the hosted zone's id, such as `Z2FDTNDATAQYW2`",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\ndriver = \"azure\"",
        &[
            "f:17:1: `driver = \"azure\"` lacks `zone`: expected the zone to change",
            "f:17:1: `driver = \"azure\"` lacks `credential`: expected the name of a service principal's secret",
            "f:17:1: `driver = \"azure\"` lacks `zone_id`: expected `subscription/resource group`, where the zone is",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\ndriver = \"powerdns\"\nzone = \"example\"\ncredential = \"dns\"\nurl = \"tcp://192.0.2.1:8081\"",
        &["f:23:7: expected `http(s)://host[:port]/path`, found a TCP address"],
    ),
    (
        "name = \"shop.example\"\ntype = \"A\"",
        "name = \"_quorate.shop.example\"\ntype = \"A\"\ndriver = \"rfc2136\"\nserver = \"192.0.2.53:53\"\nzone = \"example\"\ncredential = \"key\"",
        &["f:18:8: `_quorate.…` is where the marker of another name stands"],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\ndriver = \"cloudflare\"\nzone = \"example\"\ncredential = \"dns\"\nzone_id = \"abc123\"",
        &["f:23:11: expected the zone's id, 32 hexadecimal digits"],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\ndriver = \"google\"\nzone = \"example\"\ncredential = \"dns\"\nzone_id = \"a/../b\"\nserver = \"192.0.2.1:53\"",
        &[
            "f:23:11: expected `project/zone`, both as the console names them",
            "f:24:10: `server` goes with `driver = \"rfc2136\"`",
        ],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\nserver = \"192.0.2.53:53\"",
        &["f:20:10: `server` goes with `driver = \"rfc2136\"`"],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\n[[record]]\nname = \"Shop.Example.\"\ntype = \"A\"",
        &["f:21:8: record `shop.example` A is named twice: several values go into one record"],
    ),
    (
        "type = \"A\"",
        "type = \"A\"\n[[record]]\nname = \"shop.example\"\ntype = \"CNAME\"\nvalues = { a = [\"x.y\"], b = [\"x.y\"] }",
        &[
            "f:21:8: record `shop.example` has A and CNAME: a CNAME stands alone at its name",
            "f:21:8: a CNAME cannot stand at the apex of zone `shop.example`: use A or AAAA",
        ],
    ),
    (
        "name = \"shop.example\"\ntype",
        "name = \"shop.example.org\"\ntype",
        &[
            "f:18:8: `shop.example.org` lies in no `[[zone]]` of this file: the built-in server would refuse it",
        ],
    ),
    (
        "name = \"shop.example\"\ntype",
        "name = \"a.*.shop.example\"\ntype",
        &[
            "f:18:8: `name`: expected a DNS name of at most 253 octets, labels at most 63, found `a.*.shop.example`; `*` is a whole label, and the first",
        ],
    ),
    (
        "url = \"http://192.0.2.2/\"",
        "url = \"http://192.0.2.2/\"\nweight = 1.5",
        &[
            "f:17:10: `weight`: expected a whole number from 0 to 100, found a number with a fraction",
        ],
    ),
    (
        "name = \"shop.example\"\ntype",
        "name = \"bücher.example\"\ntype",
        &[
            "f:18:8: `name`: expected a DNS name of at most 253 octets, labels at most 63, found `bücher.example`; write it in its ASCII form, `xn--…`",
        ],
    ),
    (
        "ns = [\"ns1.example\"]",
        "ns = []",
        &[
            "f:5:1: `[[zone]]` lacks `ns`: expected the names it is delegated to, one per agent that serves it",
        ],
    ),
    (
        "ns = [\"ns1.example\"]",
        "ns = \"ns1.example\"",
        &[
            "f:7:6: `ns`: expected a list, `[…]`, each a DNS name of at most 253 octets, labels at most 63, found `ns1.example`",
        ],
    ),
    (
        "ns = [\"ns1.example\"]",
        "ns = [\"ns1.shop.example\"]",
        &[
            "f:7:7: warning: `ns1.shop.example` lies in the zone, and no `[[record]]` gives its address: resolvers will not find it",
        ],
    ),
    (
        "name = \"shop.example\"\ntype = \"A\"",
        "name = \"www.example.org\"\ntype = \"HTTPS\"\nvalues = { a = [\"1 .\"], b = [\"1 .\"] }\ndriver = \"digitalocean\"\nzone = \"example.org\"\ncredential = \"dns\"",
        &["f:19:8: `digitalocean` serves no HTTPS records"],
    ),
    (
        "contact = \"admin@example\"",
        "contact = \"admin\"",
        &[
            "f:8:11: `contact`: expected a mail address such as `hostmaster@example.com`, found `admin`",
        ],
    ),
    (
        "contact = \"admin@example\"",
        "",
        &[
            "f:5:1: `[[zone]]` lacks `contact`: expected a mail address such as `hostmaster@example.com`",
        ],
    ),
];
