// MQTT.js as a client of the suite. What it reads and prints: peers.py.
'use strict';
const fs = require('fs');
const readline = require('readline');
const mqtt = require('mqtt');
const { parseArgs } = require('util');

const text = { type: 'string' };
const flag = { type: 'boolean', default: false };
const { values: args } = parseArgs({
  options: {
    host: text, port: text, ca: text, cert: text, key: text, id: text, version: text, 'keep-alive': text, will: text,
    once: flag, 'keep-session': flag,
  },
});

function tell(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');
}

const isFive = args.version === '5';
const options = {
  host: args.host,
  port: Number(args.port),
  protocol: 'mqtts',
  protocolVersion: isFive ? 5 : 4,
  clientId: args.id,
  clean: !args['keep-session'],
  keepalive: Number(args['keep-alive']),
  ca: fs.readFileSync(args.ca),
  cert: fs.readFileSync(args.cert),
  key: fs.readFileSync(args.key),
  reconnectPeriod: args.once ? 0 : 500,
  reconnectOnConnackError: !args.once,
  resubscribe: false,
};
if (isFive && args['keep-session']) options.properties = { sessionExpiryInterval: 300 };
if (args.will) options.will = { topic: args.will, payload: 'gone', qos: 1 };

const client = mqtt.connect(options);
let isUp = false;
let code = null;
let leaving = false;
client.on('connect', (packet) => {
  isUp = true;
  tell('connected', { session: packet.sessionPresent });
});
client.on('disconnect', (packet) => {
  code = packet.reasonCode;
});
client.on('close', () => {
  if (isUp && !leaving) tell('lost', { code });
  isUp = false;
  code = null;
});
client.on('error', (error) => {
  if (error.code > 0) tell('refused', { code: error.code });
});
client.on('message', (topic, payload, packet) => {
  tell('message', { topic, payload: payload.toString(), qos: packet.qos });
});
client.on('packetreceive', (packet) => {
  if (packet.cmd === 'pingresp') tell('pong');
});

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, topic, qos, payload] = line.split('\t');
  if (word === 'subscribe') {
    client.subscribe(topic, { qos: Number(qos) }, (error, granted, packet) => {
      tell('subscribed', { codes: packet ? packet.granted : [128] });
    });
  } else if (word === 'publish') {
    client.publish(topic, payload, { qos: Number(qos) }, (error) => {
      tell('sent', { code: error ? error.code : 0 });
    });
  }
}).on('close', () => {
  leaving = true;
  client.end(false, () => process.exit(0));
});
