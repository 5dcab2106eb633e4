#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare.py RECORD proto|json: what our client sent to the double against what the official client sends for the same
operation (official_requests.json: SDK 0.38.0 in protobuf, 0.24.1 in JSON), field by field.

Names that each side makes up (sessions, models, paths, sequence numbers, seeds) are compared by type. A field that the
official client sends and we leave out must be one that the contract lets a client leave out, and one that we add one that
it names; both lists are here. Everything else must be equal.
"""
import json
import pathlib
import sys

# endpoint -> fields that may be left out
OMITTED = {
    "create_model": {"optimizer_config", "user_metadata"},
    "asample": {"topk_sample_logprobs", "prompt_alt_tokens_k", "record_stability_info"},
    "save_weights": {"overwrite", "user_metadata"},
    "save_weights_for_sampler": {"kind", "user_metadata", "sampling_session_seq_id"},
    "retrieve_future": {"allow_metadata_only"},
    "finish": {"detail"},
}
# endpoint -> fields that may be added: storage is billed, so what is saved has a time to live
ADDED = {"save_weights": {"ttl_seconds"}, "save_weights_for_sampler": {"ttl_seconds"}, "forward_backward": {"type"}, "load_weights": set()}
# fields whose values are names or numbers of the client's own
OWN = {"session_id", "model_id", "model_seq_id", "seq_id", "request_id", "path", "tinker_path", "model_path", "sampling_session_id",
       "sampling_session_seq_id", "seed", "sdk_version", "tags", "train_unembed", "type"}
MUST = {"proto": {"create_session", "create_model", "create_sampling_session", "asample", "forward_backward", "optim_step", "save_weights",
                  "save_weights_for_sampler", "load_weights", "retrieve_future", "finish", "client/config"},
        "json": {"create_session", "create_model", "create_sampling_session", "asample", "forward", "forward_backward", "optim_step", "save_weights",
                 "save_weights_for_sampler", "load_weights", "weights_info", "retrieve_future", "client/config"}}


def variant(endpoint, body):
    """What tells requests of one endpoint apart."""
    inner = body.get("forward_backward_input") or body.get("forward_input") or body
    weights = [inputs["weights"].get("dense", inputs["weights"].get("data")) for inputs in (d["loss_fn_inputs"] for d in inner.get("data", ())) if "weights" in inputs]
    is_forward = endpoint == "forward" or bool(body.get("forward_only"))
    return (endpoint, is_forward and not any(map(any, weights)), endpoint == "save_weights_for_sampler" and "path" in body, inner.get("loss_fn"), is_forward, "base_model" in body, "model_path" in body,
            bool(body.get("prompt_logprobs")), endpoint == "load_weights" and "model_id" in body)


def differences(ours, theirs, endpoint, where="", top=True):
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            if key not in ours:
                if not (top and key in OMITTED.get(endpoint, ())):
                    yield f"{where}{key} is left out"
            elif key not in theirs:
                if not (top and key in ADDED.get(endpoint, ())):
                    yield f"{where}{key} is added"
            elif key in OWN:
                if type(ours[key]) is not type(theirs[key]):
                    yield f"{where}{key} is {ours[key]!r}, not like {theirs[key]!r}"
            else:
                yield from differences(ours[key], theirs[key], endpoint, f"{where}{key}.", False)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(ours) != len(theirs):
            yield f"{where[:-1]} has {len(ours)} items, not {len(theirs)}"
        for i, (a, b) in enumerate(zip(ours, theirs)):
            yield from differences(a, b, endpoint, f"{where[:-1]}[{i}].", False)
    elif isinstance(theirs, float) or isinstance(ours, float):
        if abs(float(ours) - float(theirs)) > 1e-6 * max(1, abs(float(theirs))):
            yield f"{where[:-1]} is {ours!r}, not {theirs!r}"
    elif ours != theirs:
        yield f"{where[:-1]} is {ours!r}, not {theirs!r}"


def main():
    record, wire = json.load(open(sys.argv[1])), sys.argv[2]
    official = {}
    for row in json.load(open(pathlib.Path(__file__).with_name("official_requests.json")))[wire]:
        official.setdefault(variant(row["endpoint"], row["body"]), row["body"])
    seen, bad = set(), 0
    for e in record["exchanges"]:
        r = e["request"]
        endpoint = r["path"].split("api/v1/")[-1]
        if r["method"] != "POST" or endpoint == "session_heartbeat":
            continue
        endpoint = "finish" if endpoint.endswith("/finish") else endpoint
        body = r.get("json") or r.get("decoded")
        key = variant(endpoint, body)
        if key[1] and key not in official:  # no pass of the official client's is without weights there: all but them
            key = (key[0], False, *key[2:])
            for d in (body.get("forward_input") or body)["data"]:
                d["loss_fn_inputs"]["weights"]["data"][-1] = 1.0
        if key not in official or key in seen:
            continue
        seen.add(key)
        for line in differences(body, official[key], endpoint):
            bad += 1
            print(f"  {endpoint} ({wire}): {line}")
    for name in sorted(MUST[wire] - {k[0] for k in seen}):
        bad += 1
        print(f"  {name} ({wire}) was not compared")
    losses = {k[3] for k in seen if k[3]}
    if losses != {"cross_entropy", "importance_sampling", "ppo", "cispo", "dro"}:
        bad += 1
        print(f"  losses compared: {sorted(losses)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
