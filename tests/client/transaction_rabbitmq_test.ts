/** Transactions on RabbitMQ, whose COMMIT does not mean that messages are kept. */
import { assertEquals, assertInstanceOf, assertRejects } from "#assert";
import { BrokerErrorResponse, TransactionError } from "../../base/errors.ts";
import type { Message } from "../../client/message.ts";
import type { Stomp } from "../../api/stomp.ts";
import type { Transaction } from "../../client/transaction.ts";
import { clientTest, flushMicrotasks, subscribed } from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";

async function begun(stomp: Stomp, peer: RawPeer): Promise<Transaction> {
  const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
  return tx;
}

/** Takes messages with these ids. */
async function received(stomp: Stomp, peer: RawPeer, ...ids: string[]): Promise<Message[]> {
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  await peer.write(ids.map((id) => message(subscription.id, id)).join(""));
  const messages: Message[] = [];
  while (messages.length < ids.length) messages.push((await subscription.take())!);
  return messages;
}

const RABBITMQ = "server:RabbitMQ/3.10.8\n";

clientTest("`commit()` on RabbitMQ acknowledges after all sends are confirmed", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", RABBITMQ);
  const [one, two] = await received(stomp, peer, "m1", "m2");
  const tx = await begun(stomp, peer);
  await tx.send("/queue/b", "moved");
  await tx.ack(one!);
  await tx.nack(two!, { headers: { requeue: "false" } });
  const committing = tx.commit();
  const [send, commit] = await peer.frames(2);
  assertEquals([send!.command, commit!.command], ["SEND", "COMMIT"]);
  await peer.write(receiptFor(commit!));
  await flushMicrotasks();
  // The message is not confirmed yet, so what is sent now comes before the acknowledgements.
  const other = stomp.send("/queue/c", "x", { receipt: false });
  assertEquals((await peer.frame()).get("destination"), "/queue/c");
  await other;
  await peer.write(receiptFor(send!));
  const [ack, nack] = await peer.frames(2);
  assertEquals([ack!.command, ack!.get("transaction"), ack!.get("id")], ["ACK", undefined, "m1"]);
  assertEquals([nack!.command, nack!.get("requeue"), nack!.get("id")], ["NACK", "false", "m2"]);
  let committed = false;
  committing.then(() => committed = true);
  await flushMicrotasks();
  assertEquals(committed, false); // the last acknowledgement has a receipt: then the broker has read them all
  await peer.write(receiptFor(nack!));
  await committing;
});

clientTest("`commit()` on RabbitMQ acknowledges nothing when a send is refused", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", RABBITMQ);
  const [one] = await received(stomp, peer, "m1");
  const tx = await begun(stomp, peer);
  await tx.send("/queue/b", "moved");
  await tx.ack(one!);
  const committing = tx.commit();
  const [send] = await peer.frames(2);
  await peer.write(`RECEIPT\nreceipt-id:${Number(send!.get("receipt")) + 1}\n\n\0`); // of the COMMIT
  await flushMicrotasks();
  await peer.write("ERROR\nmessage:not_found\n\nno such exchange\0");
  await assertRejects(() => committing, BrokerErrorResponse, "not_found");
  await one!.ack(); // it was not acknowledged, so it can be
  assertEquals((await peer.frame()).command, "ACK");
});

clientTest("`commit()` on RabbitMQ succeeds after a message outside the transaction was refused", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", RABBITMQ);
  const tx = await begun(stomp, peer);
  await tx.send("/queue/b", "good");
  const good = await peer.frame("SEND");
  const sending = assertRejects(() => stomp.send("/nowhere", "bad"), BrokerErrorResponse, "Unknown destination");
  for (let i = 0; i < 4; i++) { // once with others, then alone as often as it takes to be sure
    assertEquals((await peer.frame("SEND")).body, "bad");
    await peer.write("ERROR\nmessage:Unknown destination\n\nnot a valid destination\0");
  }
  await sending;
  const committing = tx.commit();
  const commit = await peer.frame("COMMIT");
  await peer.write(receiptFor(commit) + receiptFor(good));
  await committing;
});

clientTest("`begin()` on RabbitMQ succeeds beside any number of refused messages", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 1 } }, "1.2", RABBITMQ);
  const sends = [1, 2, 3].map((n) => assertRejects(() => stomp.send("/nowhere", `bad ${n}`), BrokerErrorResponse));
  const beginning = stomp.begin();
  let settled = false;
  const settling = Promise.all(sends).finally(() => settled = true);
  let next = peer;
  while (!settled) {
    await next.frame("SEND");
    await next.write("ERROR\nmessage:not_found\n\nno exchange\0");
    await next.close();
    next = await server.welcome("1.2", RABBITMQ);
    await flushMicrotasks();
  }
  await settling;
  await confirm(next, "BEGIN");
  assertEquals((await beginning).isOpen, true);
});

clientTest("`abort()` on RabbitMQ drops the acknowledgements and waits for no SEND", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", RABBITMQ);
  const [one] = await received(stomp, peer, "m1");
  const tx = await begun(stomp, peer);
  await tx.send("/queue/b", "moved");
  await tx.ack(one!);
  const [, said] = await Promise.all([tx.abort(), peer.frame("SEND").then(() => confirm(peer, "ABORT"))]);
  assertEquals(said.get("transaction"), tx.id);
  await one!.ack();
  assertEquals((await peer.frame()).command, "ACK");
});

clientTest("`commit()` on RabbitMQ beside a refused message rejects with an unknown outcome", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 1 } }, "1.2", RABBITMQ);
  const tx = await begun(stomp, peer);
  await tx.send("/queue/b", "x");
  const committing = tx.commit();
  const bad = stomp.send("/exchange/nosuch/key", "bad");
  bad.catch(() => {});
  await peer.frames(3);
  await peer.write("ERROR\nmessage:not_found\n\nno exchange\0");
  await peer.finish();
  const error = await assertRejects(() => committing, TransactionError, "whether it happened is unknown");
  assertInstanceOf((error as Error).cause, BrokerErrorResponse);
  const next = await server.welcome("1.2", RABBITMQ);
  await next.frame("SEND");
  await next.write("ERROR\nmessage:not_found\n\nno exchange\0");
  await assertRejects(() => bad, BrokerErrorResponse, "not_found");
});
