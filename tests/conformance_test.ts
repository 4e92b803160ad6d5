import "./conformance/framing_client.ts";
import "./conformance/framing_client_written.ts";
import "./conformance/framing_broker.ts";
import "./conformance/framing_broker_more.ts";
