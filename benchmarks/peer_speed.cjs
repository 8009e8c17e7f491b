// One peer's network in tfjs' WebAssembly backend, for peer_speed.py: node peer_speed.cjs human|face-api FOLDER BATCH
// First it says its answers to one batch. Then each line on stdin, {"seconds": 0.2, "clock": "wall"}, has it run for so
// long, and it says how many faces that were: every line is JSON. NODE_PATH names the folder with @tensorflow/tfjs.
const fs = require('fs');
const path = require('path');
const readline = require('readline');

const [peer, folder, batch] = [process.argv[2], path.resolve(process.argv[3]), Number(process.argv[4])];

async function main() {
  const backend = require('@tensorflow/tfjs-backend-wasm');
  backend.setWasmPaths(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')) + '/dist/');
  let tf, run, shape;
  if (peer === 'human') {
    tf = require('@tensorflow/tfjs');
    await tf.setBackend('wasm');
    const facts = JSON.parse(fs.readFileSync(path.join(folder, 'models/emotion.json'), 'utf8'));
    const bytes = fs.readFileSync(path.join(folder, 'models/emotion.bin'));
    const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    const weightSpecs = facts.weightsManifest.flatMap((part) => part.weights);
    const signature = facts.userDefinedMetadata.signature;
    const load = async () => ({ modelTopology: facts.modelTopology, weightSpecs, weightData, signature });
    const model = await tf.loadGraphModel({ load });
    shape = [batch, 64, 64, 1];
    run = (pixels) => model.execute(pixels.div(127.5).sub(1));
  } else {
    const faceapi = require(path.join(folder, 'dist/face-api.node-wasm.js'));
    tf = faceapi.tf;
    await tf.setBackend('wasm');
    const net = faceapi.nets.faceExpressionNet;
    await net.loadFromDisk(path.join(folder, 'model'));
    shape = [batch, 112, 112, 3];
    // Its own forwardInput, whose NetInput would only stack and pad what has the right size already.
    let held;
    const input = { toBatchTensor: () => held };
    run = (pixels) => {
      held = pixels;
      return tf.softmax(net.runNet(net.faceFeatureExtractor.forwardInput(input)));
    };
  }
  await tf.ready();
  const size = shape.reduce((a, b) => a * b);
  const values = Float32Array.from({ length: size }, (_, i) => (i * 7919) % 256);
  const once = () => {
    const answer = tf.tidy(() => run(tf.tensor(values, shape)));
    const numbers = answer.dataSync();
    answer.dispose();
    return numbers;
  };
  console.log(JSON.stringify({ backend: tf.getBackend(), version: tf.version_core || tf.version?.tfjs, answers: [...once()] }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    const clock = asked.clock === 'cpu' ? () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6; }
      : () => Number(process.hrtime.bigint()) / 1e9;
    const began = clock();
    let num = 0;
    while (clock() - began < asked.seconds) {
      once();
      num += batch;
    }
    console.log(JSON.stringify({ num, seconds: clock() - began }));
  }
}

main().catch((error) => {
  console.error(String(error.stack || error));
  process.exit(1);
});
