/** Messages that no subscription asked for: RabbitMQ subscribes by itself to the queue that a `reply-to` names. */
import { assertEquals } from "#assert";
import { once } from "./support.ts";

once("a reply to a `/temp-queue/` of the program reaches `onUnclaimedMessage`", {
  broker: "rabbitmq",
  versions: ["1.0", "1.1", "1.2"],
  async fn({ connect, queue }) {
    const replies: string[] = [];
    const arrived = Promise.withResolvers<void>();
    const client = await connect({
      onUnclaimedMessage: (message) => {
        replies.push(`${message.subscription?.id} ${message.text()}`);
        if (replies.length === 2) arrived.resolve();
      },
    });
    const server = await connect();
    const name = queue();
    const requests = await server.subscribe(name);
    for (const body of ["one", "two"]) await client.send(name, body, { replyTo: "/temp-queue/answers" });
    for (let i = 0; i < 2; i++) {
      const request = await requests.take({ timeout: 8000 });
      await server.send(request!.header("reply-to")!, `answer to ${request!.text()}`);
    }
    await arrived.promise;
    assertEquals(replies, ["/temp-queue/answers answer to one", "/temp-queue/answers answer to two"]);
  },
});
