/** A thread that reads the configuration, tells what it found, and is gone (config-apart.ts). */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../core/errors.ts';
import { loadConfig } from './config/load.ts';

assert(parentPort !== null, 'the configuration is read for another thread');
parentPort.postMessage(loadConfig(workerData as string));
