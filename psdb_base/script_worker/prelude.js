// What a script finds in its context, and the dispatcher that runs it.
//
// The value of this file is a function from text to text. It takes JSON:
//   {k: kind, f: source, s: scope, a: [[this, arguments], ...]}
// and gives {r: [result, ...]} or {e: message, n: calls done before the error}.
// Kinds: "where" (a boolean a call), "fn" (the value), "map" (the list of [key, value] emitted),
// "compile" (nothing is run).
//
// Values are JSON where JSON can say them, and {$: kind, ...} where not. A number that is an
// integer in what comes in was an int32; in what goes out a plain number is a double. An object
// that came in remembers which of its fields were int32: they stay so if they are unchanged.
(function () {
  "use strict";
  const global = globalThis;
  const sleepFor = global.__sleep, md5Of = global.__md5;
  delete global.__sleep;
  delete global.__md5;
  const DEPTH_MAX = 150;
  const { parse, stringify } = JSON;
  const { isInteger, isFinite } = Number;
  const isArray = Array.isArray;
  const hasOwn = Object.prototype.hasOwnProperty;
  const ints = new WeakMap();
  const define = (name, value) =>
    Object.defineProperty(global, name, { value, writable: true, configurable: true });

  // ---- BSON types

  function hex(bytes) {
    let text = "";
    for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
    return text;
  }

  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  function fromBase64(text) {
    const bytes = [];
    let bits = 0, count = 0;
    for (const letter of text) {
      if (letter === "=") break;
      const at = LETTERS.indexOf(letter);
      if (at < 0) throw new Error("invalid base64");
      bits = ((bits << 6) | at) & 0xffffff;
      count += 6;
      if (count >= 8) { count -= 8; bytes.push((bits >> count) & 255); }
    }
    return bytes;
  }

  function toBase64(bytes) {
    let text = "";
    for (let at = 0; at < bytes.length; at += 3) {
      const left = bytes.length - at;
      const word = (bytes[at] << 16) | ((left > 1 ? bytes[at + 1] : 0) << 8)
        | (left > 2 ? bytes[at + 2] : 0);
      text += LETTERS[word >> 18] + LETTERS[(word >> 12) & 63]
        + (left > 1 ? LETTERS[(word >> 6) & 63] : "=") + (left > 2 ? LETTERS[word & 63] : "=");
    }
    return text;
  }

  function fromHex(text) {
    if (!/^([0-9a-fA-F]{2})*$/.test(text)) throw new Error("invalid hex string");
    const bytes = [];
    for (let at = 0; at < text.length; at += 2) bytes.push(parseInt(text.slice(at, at + 2), 16));
    return bytes;
  }

  let counter = Math.floor(Math.random() * 0x1000000);

  function ObjectId(text) {
    if (!(this instanceof ObjectId)) return new ObjectId(text);
    if (text === undefined) {
      counter = (counter + 1) & 0xffffff;
      text = Math.floor(Date.now() / 1000).toString(16).padStart(8, "0")
        + Math.floor(Math.random() * 0x10000000000).toString(16).padStart(10, "0")
        + counter.toString(16).padStart(6, "0");
    } else if (text instanceof ObjectId) {
      text = text.str;
    }
    if (typeof text !== "string" || !/^[0-9a-fA-F]{24}$/.test(text))
      throw new Error("invalid object id: length");
    this.str = text.toLowerCase();
  }
  ObjectId.prototype.toString = function () { return 'ObjectId("' + this.str + '")'; };
  ObjectId.prototype.valueOf = function () { return this.str; };
  ObjectId.prototype.toHexString = function () { return this.str; };
  ObjectId.prototype.equals = function (other) { return String(other) === String(this); };
  ObjectId.prototype.getTimestamp = function () {
    return new Date(parseInt(this.str.slice(0, 8), 16) * 1000);
  };

  function NumberLong(value) {
    if (!(this instanceof NumberLong)) return new NumberLong(value);
    let exact;
    if (value === undefined) exact = 0n;
    else if (value instanceof NumberLong) exact = value.exact;
    else if (typeof value === "bigint") exact = value;
    else if (typeof value === "number") {
      if (!isInteger(value)) value = Math.trunc(value) || 0;
      exact = BigInt(value);
    } else {
      if (!/^[-+]?\d+$/.test(String(value)))
        throw new Error("could not convert \"" + value + "\" to NumberLong");
      exact = BigInt(String(value).replace(/^\+/, ""));
    }
    if (BigInt.asIntN(64, exact) !== exact)
      throw new Error("number out of range of a NumberLong");
    Object.defineProperty(this, "exact", { value: exact });
    this.floatApprox = Number(exact);
    if (!Number.isSafeInteger(this.floatApprox)) {
      this.top = Number(exact >> 32n);
      this.bottom = Number(BigInt.asUintN(32, exact));
    }
  }
  NumberLong.prototype.toNumber = NumberLong.prototype.valueOf = function () {
    return Number(this.exact);
  };
  NumberLong.prototype.toString = function () {
    return Number.isSafeInteger(Number(this.exact))
      ? "NumberLong(" + this.exact + ")" : 'NumberLong("' + this.exact + '")';
  };
  NumberLong.prototype.exactValueString = function () { return String(this.exact); };
  NumberLong.prototype.compare = function (other) {
    const that = NumberLong(other).exact;
    return this.exact < that ? -1 : this.exact > that ? 1 : 0;
  };

  function NumberInt(value) {
    if (!(this instanceof NumberInt)) return new NumberInt(value);
    Object.defineProperty(this, "exact", { value: value === undefined ? 0 : Number(value) | 0 });
  }
  NumberInt.prototype.toNumber = NumberInt.prototype.valueOf = function () { return this.exact; };
  NumberInt.prototype.toString = function () { return "NumberInt(" + this.exact + ")"; };

  function NumberDecimal(value) {
    if (!(this instanceof NumberDecimal)) return new NumberDecimal(value);
    Object.defineProperty(this, "exact", { value: value === undefined ? "0" : String(
      value instanceof NumberDecimal || value instanceof NumberLong ? value.exact : value) });
    if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|^[-+]?inf(inity)?$|^nan$/i.test(this.exact))
      throw new Error("Input is not a valid Decimal128 value.");
  }
  NumberDecimal.prototype.toString = function () { return 'NumberDecimal("' + this.exact + '")'; };

  function Timestamp(seconds, increment) {
    if (!(this instanceof Timestamp)) return new Timestamp(seconds, increment);
    this.t = seconds === undefined ? 0 : Number(seconds);
    this.i = increment === undefined ? 0 : Number(increment);
    for (const part of [this.t, this.i])
      if (!(part >= 0 && part <= 0xffffffff)) throw new Error("Timestamp part out of range");
  }
  Timestamp.prototype.getTime = function () { return this.t; };
  Timestamp.prototype.getInc = function () { return this.i; };
  Timestamp.prototype.toString = function () {
    return "Timestamp(" + this.t + ", " + this.i + ")";
  };

  function BinData(subtype, text) {
    if (!(this instanceof BinData)) return new BinData(subtype, text);
    if (!(subtype >= 0 && subtype <= 255)) throw new Error("BinData subtype must be 0 to 255");
    const bytes = isArray(text) ? text : fromBase64(String(text));
    Object.defineProperty(this, "bytes", { value: bytes });
    this.type = subtype;
    this.len = bytes.length;
  }
  BinData.prototype.length = function () { return this.len; };
  BinData.prototype.subtype = function () { return this.type; };
  BinData.prototype.base64 = function () { return toBase64(this.bytes); };
  BinData.prototype.hex = function () { return hex(this.bytes); };
  BinData.prototype.toString = function () {
    if (this.type === 4 && this.len === 16) {
      const text = hex(this.bytes);
      return 'UUID("' + [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16),
        text.slice(16, 20), text.slice(20)].join("-") + '")';
    }
    return "BinData(" + this.type + ',"' + toBase64(this.bytes) + '")';
  };

  function UUID(text) {
    if (text === undefined) {
      const bytes = Array.from({ length: 16 }, () => Math.floor(Math.random() * 256));
      bytes[6] = (bytes[6] & 15) | 64;
      bytes[8] = (bytes[8] & 63) | 128;
      return new BinData(4, bytes);
    }
    const bytes = fromHex(String(text).replace(/-/g, ""));
    if (bytes.length !== 16) throw new Error("UUID string must have 32 hex digits");
    return new BinData(4, bytes);
  }

  function DBRef(collection, id, database) {
    if (!(this instanceof DBRef)) return new DBRef(collection, id, database);
    this.$ref = collection;
    this.$id = id;
    if (database !== undefined) this.$db = database;
  }
  DBRef.prototype.getCollection = DBRef.prototype.getRef = function () { return this.$ref; };
  DBRef.prototype.getId = function () { return this.$id; };
  DBRef.prototype.getDb = function () { return this.$db; };
  DBRef.prototype.toString = function () {
    return 'DBRef("' + this.$ref + '", ' + tojson(this.$id) + ")";
  };

  function DBPointer(collection, id) {
    if (!(this instanceof DBPointer)) return new DBPointer(collection, id);
    this.ns = collection;
    this.id = id;
  }

  function Bound(name) {
    const type = function () {
      return this instanceof type ? this : instance;
    };
    type.prototype.toString = type.prototype.tojson = () => name;
    const instance = new type();
    return [type, instance];
  }
  const [MinKeyType, minKey] = Bound('{ "$minKey" : 1 }');
  const [MaxKeyType, maxKey] = Bound('{ "$maxKey" : 1 }');

  function ISODate(text) {
    if (text === undefined) return new Date();
    const found = /^(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d+))?)?)?(Z|[-+]\d\d(?::?\d\d)?)?)?$/
      .exec(String(text));
    if (found === null) throw new Error("invalid ISO date: " + text);
    const [, year, month, day, hour, minute, second, fraction, zone] = found;
    let at = Date.UTC(+year, +month - 1, +day, +(hour || 0), +(minute || 0), +(second || 0),
      fraction ? Math.round(Number("0." + fraction) * 1000) : 0);
    if (+year < 100) { const date = new Date(at); date.setUTCFullYear(+year); at = +date; }
    if (zone && zone !== "Z") {
      const minutes = +zone.slice(1, 3) * 60 + +(zone.replace(":", "").slice(3, 5) || 0);
      at -= (zone[0] === "-" ? -1 : 1) * minutes * 60000;
    }
    return new Date(at);
  }

  // ---- The functions of the server's shell

  function tojson(value, indent, nolint, depth) {
    if (depth > DEPTH_MAX) throw new Error("tojson: object is nested too deep");
    if (value === null) return "null";
    switch (typeof value) {
      case "undefined": return "undefined";
      case "string": return stringify(value);
      case "number": case "boolean": case "bigint": return String(value);
      case "function": return String(value);
      case "symbol": return String(value);
    }
    if (value instanceof Date) return "ISODate(" + stringify(value.toISOString()) + ")";
    if (value instanceof RegExp) return String(value);
    if (isArray(value)) {
      return value.length === 0 ? "[ ]"
        : "[ " + value.map((one) => tojson(one, "", true, (depth || 0) + 1)).join(", ") + " ]";
    }
    for (const type of [ObjectId, NumberLong, NumberInt, NumberDecimal, Timestamp, BinData, DBRef,
      MinKeyType, MaxKeyType])
      if (value instanceof type) return value.toString();
    const fields = Object.keys(value).map(
      (name) => stringify(name) + " : " + tojson(value[name], "", true, (depth || 0) + 1));
    return fields.length === 0 ? "{ }" : "{ " + fields.join(", ") + " }";
  }
  const oneLine = (value) => tojson(value, "", true);

  function doassert(message) {
    throw new Error(typeof message === "function" ? message() : String(message));
  }
  function assert(condition, message) {
    if (!condition) doassert("assert failed" + (message === undefined ? "" : " : " + message));
  }
  const quiet = () => undefined;
  const isObject = (value) => value !== null && typeof value === "object";

  for (const [name, value] of Object.entries({
    ObjectId, ObjectID: ObjectId, NumberLong, NumberInt, NumberDecimal, Timestamp, BinData, UUID,
    DBRef, DBPointer, ISODate, tojson, tojsononeline: oneLine, tojsonObject: tojson, doassert,
    assert, isObject, MinKey: minKey, MaxKey: maxKey, print: quiet, printjson: quiet,
    printjsononeline: quiet, gc: quiet, sleep: (ms) => { sleepFor(Number(ms) || 0); },
    HexData: (subtype, text) => new BinData(subtype, fromHex(String(text))),
    MD5: (text) => new BinData(5, fromHex(String(text))),
    hex_md5: (text) => md5Of(String(text)), version: () => "8.0.0",
    isNumber: (value) => typeof value === "number" || value instanceof NumberLong,
    isString: (value) => typeof value === "string",
  })) define(name, value);

  const extend = (prototype, name, value) =>
    Object.defineProperty(prototype, name, { value, writable: true, configurable: true });
  extend(Array, "contains", (array, value) => array.some((one) => one == value));
  extend(Array, "unique", (array) => [...new Set(array)]);
  extend(Array, "sum", (array) => array.length === 0 ? null : array.reduce((a, b) => a + b));
  extend(Array, "avg", (array) =>
    array.length === 0 ? null : array.reduce((a, b) => a + b) / array.length);
  extend(Array, "tojson", (array) => tojson(array));
  extend(Object, "bsonsize", undefined);
  extend(Date.prototype, "tojson", function () { return tojson(this); });

  // ---- Values in

  const IN = {
    b: (v) => new BinData(v.s, v.v),
    c: (v) => toFunction(v.v),
    d: (v) => Number(v.v),
    l: (v) => new NumberLong(v.v),
    m: (v) => {
      const object = {};
      v.k.forEach((name, at) => Object.defineProperty(object, name, {
        value: v.v[at], writable: true, enumerable: true, configurable: true }));
      return reviveFields(object);
    },
    n: (v) => new NumberDecimal(v.v),
    o: (v) => new ObjectId(v.v),
    p: (v) => new DBPointer(v.c, new ObjectId(v.v)),
    r: (v) => { try { return new RegExp(v.v, v.o); } catch { return new RegExp(v.v); } },
    s: (v) => new Timestamp(v.t, v.i),
    t: (v) => new Date(v.v),
    u: () => undefined,
    x: (v) => v.v < 0 ? minKey : maxKey,
  };

  function revive(value) {
    if (value === null || typeof value !== "object") return value;
    if (isArray(value)) {
      let found;
      for (let at = 0; at < value.length; at++) {
        const one = value[at];
        if (typeof one === "number") {
          if (isInteger(one)) (found ||= new Set()).add(String(at));
        } else if (one !== null && typeof one === "object") value[at] = revive(one);
      }
      if (found) ints.set(value, found);
      return value;
    }
    return hasOwn.call(value, "$") ? IN[value.$](value) : reviveFields(value);
  }

  function reviveFields(value) {
    let found;
    for (const name in value) {
      const one = value[name];
      if (typeof one === "number") {
        if (isInteger(one)) (found ||= new Set()).add(name);
      } else if (one !== null && typeof one === "object") value[name] = revive(one);
    }
    if (found) ints.set(value, found);
    return value;
  }

  // ---- Values out

  function flatten(value, known, name, depth) {
    switch (typeof value) {
      case "string": case "boolean": return value;
      case "number":
        if (known !== undefined && known.has(name) && isInteger(value)
            && value >= -2147483648 && value <= 2147483647) return { $: "i", v: value };
        return isFinite(value) && !Object.is(value, -0) ? value
          : { $: "d", v: Object.is(value, -0) ? "-0.0" : String(value) };
      case "undefined": case "symbol": return { $: "u" };
      case "bigint": return { $: "l", v: String(BigInt.asIntN(64, value)) };
      case "function": return { $: "c", v: String(value) };
    }
    if (value === null) return null;
    if (depth > DEPTH_MAX)
      throw new Error("exceeded depth limit of " + DEPTH_MAX
        + " when converting js object to BSON. Do you have a cycle?");
    const inner = ints.get(value);
    if (isArray(value)) {
      const out = [];
      for (let at = 0; at < value.length; at++)
        out.push(flatten(value[at], inner, String(at), depth + 1));
      return out;
    }
    const special = leaf(value);
    if (special !== undefined) return special;
    const names = Object.keys(value);
    if (!names.includes("$") && !names.includes("__proto__")) {
      const out = {};
      for (const key of names) out[key] = flatten(value[key], inner, key, depth + 1);
      return out;
    }
    return { $: "m", k: names, v: names.map((key) => flatten(value[key], inner, key, depth + 1)) };
  }

  function leaf(value) {
    if (value instanceof Date) return { $: "t", v: String(value.getTime()) };
    if (value instanceof ObjectId) return { $: "o", v: value.str };
    if (value instanceof NumberLong) return { $: "l", v: String(value.exact) };
    if (value instanceof NumberInt) return { $: "i", v: value.exact };
    if (value instanceof NumberDecimal) return { $: "n", v: value.exact };
    if (value instanceof BinData) return { $: "b", s: value.type, v: toBase64(value.bytes) };
    if (value instanceof RegExp) {
      let flags = "";
      for (const letter of value.flags) if ("imsux".includes(letter)) flags += letter;
      return { $: "r", v: value.source === "(?:)" ? "" : value.source, o: flags };
    }
    if (value instanceof Timestamp) return { $: "s", t: value.t, i: value.i };
    if (value instanceof MinKeyType) return { $: "x", v: -1 };
    if (value instanceof MaxKeyType) return { $: "x", v: 1 };
    if (value instanceof DBPointer) return { $: "p", c: value.ns, v: value.id.str };
    if (value instanceof Number || value instanceof String || value instanceof Boolean)
      return flatten(value.valueOf(), undefined, "", 0);
    return undefined;
  }

  // ---- Running

  const evaluate = global.eval, MakeFunction = Function;
  const compiled = new Map();

  function toFunction(source) {
    let text = source.trim();
    for (;;) {
      const bare = text.replace(/^(\/\/[^\n]*(\n|$)|\/\*[^]*?\*\/|\s+)/, "");
      if (bare === text) break;
      text = bare;
    }
    text = text.replace(/[;\s]+$/, "");
    if (/^(async\s+)?function\b|^(async\s*)?(\([^]*?\)|[A-Za-z_$][\w$]*)\s*=>/.test(text)) {
      let made;
      try { made = evaluate("(" + text + "\n)"); } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
      }
      if (typeof made === "function") return made;
    }
    try {
      return MakeFunction("return (" + text + "\n);");
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    return withLastValue(text) || MakeFunction(source);
  }

  // Statements that end with an expression give its value, as long as none of them returns.
  function withLastValue(text) {
    if (!isScript(text)) return undefined;
    for (let at = text.length - 1; at > 0; at--) {
      if (text[at] !== ";" && text[at] !== "\n") continue;
      const last = text.slice(at + 1);
      const made = madeOf("return (" + last + "\n);")
        && madeOf(text.slice(0, at) + "\n; return (" + last + "\n);");
      if (made) return made;
    }
    return undefined;
  }

  function madeOf(body) {
    try { return MakeFunction(body); } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return undefined;
    }
  }

  // Outside of a function a `return` is an error; the block is parsed and never run.
  function isScript(text) {
    try { evaluate("throw 0; {\n" + text + "\n}"); } catch (error) { return error === 0; }
  }

  function prepare(source, scope) {
    let made = compiled.get(source);
    if (made === undefined) {
      if (scope) {
        const values = revive(scope);
        for (const name of Object.keys(values)) define(name, values[name]);
      }
      made = toFunction(source);
      compiled.set(source, made);
    }
    return made;
  }

  let emitted = null;
  define("emit", function (key, value) {
    if (arguments.length !== 2) throw new Error("emit takes 2 args");
    if (emitted === null) throw new Error("emit is not defined here");
    emitted.push([flatten(key === undefined ? null : key, undefined, "", 0),
      flatten(value, undefined, "", 0)]);
  });

  const RUN = {
    where: (run, self, args) => {
      define("obj", self);
      return Boolean(run.apply(self, args));
    },
    fn: (run, self, args) =>
      flatten(run.apply(self === null ? undefined : self, args), undefined, "", 0),
    map: (run, self, args) => {
      emitted = [];
      try { run.apply(self, args); return emitted; } finally { emitted = null; }
    },
  };

  function describe(error) {
    if (!(error instanceof Error)) return "uncaught exception: " + tojson(error);
    const place = /:(\d+):(\d+)\)?\s*$/m.exec(error.stack || "");
    return error.name + ": " + error.message + " :\n@" + (place ? ":" + place[1] + ":" + place[2]
      : "") + "\n";
  }

  return function dispatch(text) {
    const results = [];
    try {
      const asked = parse(text);
      const run = prepare(asked.f, asked.s);
      if (asked.k !== "compile")
        for (const [self, args] of asked.a)
          results.push(RUN[asked.k](run, revive(self), revive(args)));
      return stringify({ r: results });
    } catch (error) {
      return stringify({ e: describe(error), n: results.length });
    }
  };
})()
