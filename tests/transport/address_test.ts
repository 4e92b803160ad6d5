/** From URLs to addresses. */
import { assert, assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { addressText, type ParsedAddress, parseUrl, parseUrls } from "../../transport/address.ts";

const STOMP: ParsedAddress = { scheme: "stomp", hostname: "h", port: 61613, tls: false, host: "/" };

const URLS: [url: string, address: Partial<ParsedAddress>][] = [
  ["stomp://h", {}],
  ["stomp://h/", {}],
  ["stomp://h:", {}],
  ["stomp://h:1234", { port: 1234 }],
  ["STOMP://H", {}],
  ["  stomp://h\n", {}],
  ["stomp+ssl://h", { scheme: "stomp+ssl", port: 61614, tls: true }],
  ["stomps://h:1", { scheme: "stomp+ssl", port: 1, tls: true }],
  ["stomp://guest:guest@h", { login: "guest", passcode: "guest" }],
  ["stomp://guest@h", { login: "guest" }],
  ["stomp://guest:@h", { login: "guest", passcode: "" }],
  ["stomp://a%40b:c%2Fd%3A%25@h", { login: "a@b", passcode: "c/d:%" }],
  ["stomp://us:p@ss:w,rd@h", { login: "us", passcode: "p@ss:w,rd" }],
  ["stomp://ü:ñ@h", { login: "ü", passcode: "ñ" }],
  ["stomp://h/prod", { host: "prod" }],
  ["stomp://h/my%2Fvhost", { host: "my/vhost" }],
  ["stomp://h/a/b", { host: "a/b" }],
  ["stomp://h//", { host: "/" }],
  ["stomp://h/%2F", { host: "/" }],
  ["stomp://h/caf%C3%A9", { host: "café" }],
  ["stomp://127.0.0.1", { hostname: "127.0.0.1" }],
  ["stomp://[::1]", { hostname: "::1" }],
  ["stomp://u:p@[2001:DB8::1]:5/v", { hostname: "2001:db8::1", port: 5, login: "u", passcode: "p", host: "v" }],
  ["stomp://my_broker-1.example.", { hostname: "my_broker-1.example." }],
  ["stomp://bücher.example", { hostname: "xn--bcher-kva.example" }],
  ["ws://h", { scheme: "ws", port: 80, path: "/" }],
  ["ws://h/ws?x=1", { scheme: "ws", port: 80, path: "/ws?x=1" }],
  ["wss://u:p@h:15673/a%20b", { scheme: "wss", port: 15673, tls: true, login: "u", passcode: "p", path: "/a%20b" }],
];

test("`parseUrl()` splits and decodes a URL", () => {
  for (const [url, address] of URLS) assertEquals(parseUrl(url), { ...STOMP, ...address }, url);
  assertEquals(parseUrl(new URL("stomp://u:p%23@h:1/v")), { ...STOMP, port: 1, login: "u", passcode: "p#", host: "v" });
});

/** URLs that are none, each with the password `s3cret` somewhere, and a word of the complaint. */
const NO_URLS: [url: string, complaint: string][] = [
  ["", "scheme://host:port"],
  ["localhost:61613", "scheme://host:port"],
  ["u:s3cret@localhost:61613", "scheme://host:port"],
  ["//u:s3cret@h", "scheme://host:port"],
  ["stomp:u:s3cret@h", "scheme://host:port"],
  ["stomp://u:s3cret@h:1:2/x y", "port"],
  ["stomp://u:s3cret", "port"],
  ["stomp://u:s3/cret@h", "an @ after the host"],
  ["stomp://u:s3?cret@h", "an @ after the host"],
  ["stomp://u:s3#cret@h", "an @ after the host"],
  ["stomp://u/s3cret@h", "an @ after the host"],
  ["stomp://u:s3cret@", "no host"],
  ["stomp:///vhost", "no host"],
  ["stomp://u:s3cret@:61613", "no host"],
  ["stomp://u:s3cret@h:0", "port"],
  ["stomp://u:s3cret@h:65536", "port"],
  ["stomp://u:s3cret@h:-1", "port"],
  ["stomp://u:s3cret@h:1e3", "port"],
  ["stomp://u:s3cret@h:http", "port"],
  ["stomp://u:s3cret@good\\evil.example", "a backslash"],
  ["stomp://good.example\\@evil.example", "a backslash"],
  ["ws://good.example\\:s3cret@evil.example", "a backslash"],
  ["stomp://u:s3cret@go\tod", "a control character"],
  ["stomp://u:s3cret@good\n.example", "a control character"],
  ["stomp://u:s3\rcret@h", "a control character"],
  ["failover:(stomp://a,stomp://u:s3cret@b\n)x", "form"],
  ["stomp://u:s3cret@%67ood", "host name"],
  ["stomp://u:s3cret@h h", "host name"],
  ["stomp://u:s3cret@h,", "host name"],
  ["stomp://u:s3cret@[::1", "host"],
  ["stomp://u:s3cret@[::g]", "host name"],
  ["stomp://u:s3cret%zz@h", "password has a %"],
  ["stomp://%ff:s3cret@h", "user has a %"],
  ["stomp://u:s3cret@h/%e4", "path has a %"],
  ["stomp://u:s3cret@h?heartbeat=1", "query"],
  ["stomp://u:s3cret@h#there", "fragment"],
  ["ws://u:s3cret@h/#there", "fragment"],
  ["amqp://u:s3cret@h", "the schemes are"],
  ["constructor://u:s3cret@h", "the schemes are"],
  ["http://u:s3cret@h", "the schemes are"],
  ["failover:(stomp://u:s3cret@a,failover:(stomp://b))", "names several brokers"],
  ["failover:", "scheme://host:port"],
  ["failover:()", "scheme://host:port"],
  ["failover:(a:1,u:s3cret@b:2)", "scheme://host:port"],
  ["failover:(stomp://u:s3cret@a", "form"],
  ["failover:(stomp://u:s3cret@a)x", "form"],
  ["failover:(stomp://u:s3cret@a,)", "host name"],
  ["failover:(stomp://u:s3cret@a)?randomise=true", "only option"],
  ["failover:(stomp://u:s3cret@a)?randomize=yes", "only option"],
];

test("`parseUrls()` throws a TypeError for a URL that is wrong, says why, and never shows the password", () => {
  for (const [url, complaint] of NO_URLS) {
    const error = assertThrows(() => parseUrls(url), TypeError, complaint, url);
    assert(error.message.startsWith("Cannot parse the broker's URL"), error.message);
    assert(!/s3|cret/.test(`${error.message}${error.stack}${error.cause ?? ""}`), error.message);
  }
});

test("`parseUrls()` throws a TypeError for what is neither text nor URL, and says what to write", () => {
  for (const input of [undefined, null, 5, {}, { brokerURL: "ws://u:s3cret@h" }, Symbol("x"), [["stomp://h"]], [5]]) {
    const error = assertThrows(() => parseUrls(input as string), TypeError, 'write the URL first: ("stomp://');
    assert(!error.message.includes("s3cret"));
  }
  for (const input of [undefined, {}]) assertThrows(() => parseUrl(input as string), TypeError, "write the URL first");
});

test("`parseUrls()` returns the brokers of one URL, a list and `failover:` in the order given", () => {
  const names = (input: Parameters<typeof parseUrls>[0]) => {
    const { addresses, randomize } = parseUrls(input);
    return [...addresses.map(({ scheme, hostname, port }) => `${scheme} ${hostname} ${port}`), randomize];
  };
  const both = ["stomp a 61613", "stomp+ssl b 2", false];
  assertEquals(names("stomp://a"), ["stomp a 61613", false]);
  assertEquals(names(["stomp://a", new URL("stomp+ssl://b:2")]), both);
  for (
    const url of [
      "failover:(stomp://a,stomp+ssl://b:2)",
      "failover:( stomp://a , stomp+ssl://b:2 )",
      "failover://(stomp://a,stomp+ssl://b:2)",
      "failover:stomp://a,stomp+ssl://b:2",
      "FAILOVER:(stomp://a,stomps://b:2)?randomize=false",
    ]
  ) assertEquals(names(url), both, url);
  assertEquals(names("failover:(stomp://a,stomp+ssl://b:2)?randomize=true"), ["stomp a 61613", "stomp+ssl b 2", true]);
  assertEquals(names(new URL("failover:(stomp://a,stomp://b)")), ["stomp a 61613", "stomp b 61613", false]);
  assertEquals(names("failover:(stomp://a)"), ["stomp a 61613", false]);
  assertThrows(() => parseUrls([]), TypeError, "empty list");
  assertThrows(() => parseUrls(["failover:(stomp://a)"]), TypeError, "names several brokers");
});

test("`parseUrls()` does not split `failover:` at a comma in a password", () => {
  const { addresses } = parseUrls("failover:(stomp://u:a,b)c@h1,stomp://u:d%2Ce@h2/v)?randomize=true");
  assertEquals(addresses, [
    { ...STOMP, hostname: "h1", login: "u", passcode: "a,b)c" },
    { ...STOMP, hostname: "h2", login: "u", passcode: "d,e", host: "v" },
  ]);
});

test("`parseUrl()` takes other schemes where a custom transport is given", () => {
  const unix = parseUrl("stomp+unix:///run/a%20b.sock?x=1", true);
  assertEquals(unix, {
    ...{ scheme: "stomp+unix", hostname: "", port: 0, tls: false, host: "/" },
    path: "/run/a%20b.sock?x=1",
  });
  assertEquals(addressText(unix), "/run/a%20b.sock"); // the query may hold a ticket
  const other = parseUrl("QUIC://u:p%40@[::1]:7/x", true);
  assertEquals(other, {
    ...{ scheme: "quic", hostname: "::1", port: 7, tls: false, host: "/", path: "/x", login: "u", passcode: "p@" },
  });
  assertEquals(addressText(other), "[::1]:7");
  assertEquals(addressText(parseUrl("quic://h", true)), "h");
  assertEquals(parseUrls("failover:(x://a,stomp://b/v)", true).addresses.map(({ host }) => host), ["/", "v"]);
  // The library's schemes stay as they are.
  assertEquals(parseUrl("stomp://h/v", true), parseUrl("stomp://h/v"));
  assertThrows(() => parseUrl("stomp:///v", true), TypeError, "it has no host");
  assertThrows(() => parseUrl("x://h#a", true), TypeError, "it has a fragment");
  assertThrows(() => parseUrl("x://h"), TypeError, "any other needs the option transport");
});
