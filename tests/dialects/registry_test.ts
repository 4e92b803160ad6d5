/** The registry of dialects: which broker it is, and what its ERRORs mean. `isOutageError()` is tested with its users. */
import { assertEquals } from "#assert";
import { test } from "#test";
import type { BrokerFamily } from "../../dialects/dialect.ts";
import { dialectFor, isLoginRefusal } from "../../dialects/registry.ts";

test("`dialectFor()` recognizes a broker by its `server` header", () => {
  const names: [string | undefined, BrokerFamily][] = [
    ["RabbitMQ/3.10.8", "rabbitmq"],
    [" RabbitMQ/3.13.1 (a comment)", "rabbitmq"],
    ["ActiveMQ/5.17.2", "activemq"],
    ["ActiveMQ-Artemis/2.31.0 ActiveMQ Artemis Messaging Engine", "artemis"],
    ["stompy/0.1.0", "embedded"],
    ["apache-apollo/1.7.1", "unknown"],
    ["NotRabbitMQ/1", "unknown"],
    ["", "unknown"],
    [undefined, "unknown"],
  ];
  for (const [server, family] of names) assertEquals(dialectFor(server).family, family, `${server}`);
  for (const family of ["rabbitmq", "activemq", "artemis", "embedded", "unknown"] as const) {
    assertEquals(dialectFor("RabbitMQ/3.10.8", family).family, family);
    assertEquals(dialectFor(undefined, family).name.length > 0, true);
  }
});

test("`isLoginRefusal()` recognizes what brokers say about user and password", () => {
  const words: [string, boolean][] = [
    ["Bad CONNECT (Access refused for user 'guest')", true],
    ["User name [guest] or password is invalid.", true],
    ["Security Error occurred: User name [guest] or password is invalid", true],
    ["AMQ229031: Unable to validate user from /127.0.0.1:1", true],
    ["login refused (The login or the passcode is wrong)", true],
    ["Authentication failed", true],
    ["Bad credentials", true],
    ["Login Failed: not_authorized", true],
    ["Broker: localhost - Client: me already connected from tcp://127.0.0.1:5", false],
    ["Bad CONNECT (Virtual host '/' access denied)", false],
    // What RabbitMQ's plugin after 4.3 says of a limit. Before, it says the same as of a virtual host that is not there.
    ["Bad CONNECT (Connection refused: vhost connection limit reached)", false],
    ["Bad CONNECT (Connection refused: node connection limit reached)", false],
    ["Supported protocol versions are 1.2", false],
    ["it gave no reason", false],
  ];
  for (const [text, expected] of words) assertEquals(isLoginRefusal(text), expected, text);
});
