// The official SDKs as clients of a gateway. Prints what each of them made of every answer.
//
// Usage: node clients.mjs GATEWAY_URL

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const url = process.argv[2];
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", timeout: 20_000 });
const anthropic = new Anthropic({ baseURL: url, apiKey: "any", timeout: 20_000 });
const once = { maxRetries: 0 };

const parameters = {
  type: "object",
  properties: { subject: { type: "string" } },
  required: ["subject"],
};
const described = { name: "look_up", description: "Look something up." };
const chatTools = [{ type: "function", function: { ...described, parameters } }];
const responseTools = [{ type: "function", ...described, parameters, strict: false }];
const messageTools = [{ ...described, input_schema: parameters }];
const says = (content) => [{ role: "user", content }];

// What an SDK threw, with the name of its class.
async function thrown(work) {
  const said = [];
  try {
    await work((piece) => said.push(piece));
  } catch (error) {
    const body = error.error?.error ?? error.error ?? {};
    return {
      raised: error.constructor.name,
      status: error.status ?? null,
      type: error.type ?? body.type ?? null,
      code: error.errorCode ?? error.code ?? body.code ?? null,
      policy: body.policy ?? null,
      said: said.join(""),
    };
  }
  return { raised: null, said: said.join("") };
}

const clients = {
  chat: {
    async answer(model, content) {
      const answer = await openai.chat.completions.create({ model, messages: says(content) }, once);
      return answer.choices[0].message.content;
    },
    async stream(model, content, heard) {
      const body = { model, messages: says(content), stream: true };
      let finish = null;
      for await (const chunk of await openai.chat.completions.create(body)) {
        const choice = chunk.choices[0];
        if (choice?.delta.content) heard(choice.delta.content);
        finish = choice?.finish_reason ?? finish;
      }
      return finish;
    },
    async call(model, streamed) {
      const body = { model, messages: says("?"), tools: chatTools };
      const answer = streamed
        ? await openai.chat.completions.stream(body).finalChatCompletion()
        : await openai.chat.completions.create(body);
      const { name, arguments: text } = answer.choices[0].message.tool_calls[0].function;
      return { name, arguments: JSON.parse(text) };
    },
  },
  responses: {
    async answer(model, input) {
      return (await openai.responses.create({ model, input }, once)).output_text;
    },
    async stream(model, input, heard) {
      let finish = null;
      for await (const event of await openai.responses.create({ model, input, stream: true })) {
        if (event.type === "response.output_text.delta") heard(event.delta);
        finish = event.response?.status ?? finish;
      }
      return finish;
    },
    async call(model, streamed) {
      const body = { model, input: "?", tools: responseTools };
      const answer = streamed
        ? await openai.responses.stream(body).finalResponse()
        : await openai.responses.create(body);
      const { name, arguments: text } = answer.output.find((item) => item.type === "function_call");
      return { name, arguments: JSON.parse(text) };
    },
  },
  messages: {
    async answer(model, content) {
      const body = { model, max_tokens: 999, messages: says(content) };
      return (await anthropic.messages.create(body, once)).content.at(-1).text;
    },
    async stream(model, content, heard) {
      const stream = anthropic.messages.stream({ model, max_tokens: 999, messages: says(content) });
      stream.on("text", heard);
      return (await stream.finalMessage()).stop_reason;
    },
    async call(model, streamed) {
      const body = { model, max_tokens: 999, messages: says("?"), tools: messageTools };
      const answer = streamed
        ? await anthropic.messages.stream(body).finalMessage()
        : await anthropic.messages.create(body);
      const { name, input } = answer.content.find((block) => block.type === "tool_use");
      return { name, arguments: input };
    },
  },
};

const found = {};
for (const [name, client] of Object.entries(clients)) {
  const pieces = [];
  const finish = await client.stream("sim-echo", "one two three", (piece) => pieces.push(piece));
  found[name] = {
    answer: await client.answer("sim-echo", "Hello there"),
    stream: { pieces, finish },
    call: await client.call("sim-tools", false),
    streamedCall: await client.call("sim-tools", true),
    redacted: await client.answer("sim-leak", "Who is it?"),
    blocked: await thrown(() => client.answer("sim-echo", "say STOPME")),
    streamBlocked: await thrown((heard) => client.stream("sim-echo", "say STOPME", heard)),
    stopped: await thrown((heard) => client.stream("sim-story", "Tell me a story.", heard)),
    unknown: await thrown(() => client.answer("nobody", "?")),
    limited: await thrown(() => client.answer("sim-429", "?")),
  };
}

const asked = { model: "sim-reasoning", max_tokens: 999, messages: says("?") };
const thought = (await anthropic.messages.create(asked)).content;
const streamed = (await anthropic.messages.stream(asked).finalMessage()).content;
const { input_tokens } = await anthropic.messages.countTokens({
  model: "sim-echo",
  messages: says("x".repeat(40)),
});
Object.assign(found.messages, { thought, streamedThought: streamed, counted: input_tokens });
found.messages.overloaded = await thrown(() => clients.messages.answer("sim-529", "?"));

console.log(JSON.stringify(found));
