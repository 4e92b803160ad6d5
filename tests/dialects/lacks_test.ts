/** What a broker lacks is refused with its reason, under the name of the option that asked for it. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { UnsupportedByBrokerError } from "../../base/errors.ts";
import { checkAcknowledges, checkHas } from "../../dialects/lacks.ts";

const BROKER = { family: "spring", lacks: { transactions: "it has none", acknowledgements: "it takes none" } };

test("`checkHas()` throws for what a broker lacks, and names the option and the reason", () => {
  const error = assertThrows(() => checkHas("transactions", "transaction", BROKER), UnsupportedByBrokerError);
  assertEquals([error.option, error.broker], ["transaction", "spring"]);
  assertEquals(error.message, "Cannot use option transaction: it has none");
  checkHas("replies", "request", BROKER);
  checkHas("transactions", "transaction", { family: "rabbitmq" });
});

test("`checkAcknowledges()` accepts ack mode auto everywhere", () => {
  checkAcknowledges("auto", BROKER);
  checkAcknowledges("client", { family: "rabbitmq" });
  for (const mode of ["client", "client-individual"] as const) {
    assertEquals(assertThrows(() => checkAcknowledges(mode, BROKER), UnsupportedByBrokerError).option, "ack");
  }
});
