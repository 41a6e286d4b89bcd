"""Checkpoints of many kinds through the YAML a user writes, and what can be wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import constants, is_offline_mode
from peft import PeftModel

from tests.learning.checkpoints import save_checkpoint, tokenizer
from wirelessfl.errors import InputError
from wirelessfl.learning.assemble import assemble
from wirelessfl.learning.texts import Corpus, Text, encode, encode_samples
from wirelessfl.scenario import Scenario, load
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner

SCENARIO = """
name: own
stop: {{rounds: 2}}
devices: {{count: 5, mix: {{orin-nano: 1}}}}
learning:
  task: {task}
  partition: {{kind: iid}}
  model: {{kind: huggingface, path: checkpoint}}
  lora: {{rank: 4, alpha: 8}}
  local: {{steps: 2, batch: 4, lr: 0.1}}
strategy: {{kind: full}}
"""
LABELS = "{kind: table, file: reviews.csv, label: mood, owner: author, test_fraction: 0.25}"
TASKS = {
    "bert": LABELS,
    "roberta": LABELS,
    "distilbert": LABELS,
    "llama-classes": LABELS,
    "gpt2-classes": LABELS,
    "llama": "{kind: table, file: reviews.csv}",
    "qwen2": "{kind: table, file: reviews.csv, completion: mood}",
    "gpt2": "{kind: text_files, folder: texts, max_tokens: 12}",
    "vit": "{kind: digits}",
}


def write_reviews(folder: Path, rows: int = 48) -> None:
    rng = np.random.default_rng(3)
    lines = ["text,mood,author"]
    for row in range(rows):
        mood = ("good", "bad")[row % 2]
        words = {"good": ["good", "great", "nice"], "bad": ["bad", "awful", "dull"]}[mood]
        text = f"the {rng.choice(['film', 'day', 'meal'])} was very {rng.choice(words)}"
        lines.append(f"{text},{mood},author {row % 7}")
    (folder / "reviews.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "texts").mkdir(exist_ok=True)
    for number in range(3):
        paragraphs = [" ".join(rng.choice(["it", "is", "a", "fine", "day"], 20)) for _ in range(6)]
        (folder / "texts" / f"{number}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")


def scenario_of(name: str, folder: Path, *overrides: str) -> Scenario:
    write_reviews(folder)
    save_checkpoint(name, folder / "checkpoint")
    (folder / "own.yaml").write_text(SCENARIO.format(task=TASKS[name]), encoding="utf-8")
    if name == "vit":  # the digits have one channel and 8 pixels a side, as the checkpoint
        overrides = (*overrides, "learning.local.lr=0.05")
    return load(folder / "own.yaml", overrides)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.slow
def test_two_rounds_with_a_checkpoint_of_ones_own(name: str, tmp_path: Path):
    scenario = scenario_of(name, tmp_path)
    trace = simulate(scenario)
    metric = "accuracy" if scenario.learning.task.metrics[1] == "accuracy" else "perplexity"
    assert trace.rounds["loss"].notna().all()
    assert trace.rounds[metric].notna().all()
    assert trace.rounds["loss"].iloc[-1] != trace.rounds["loss"].iloc[0]
    if metric == "perplexity":
        assert np.allclose(trace.rounds["perplexity"], np.exp(trace.rounds["loss"]))
    again = simulate(scenario)
    assert trace.rounds.equals(again.rounds)
    assert trace.clients.equals(again.clients)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # asked by PEFT
@pytest.mark.parametrize("name", ["roberta", "qwen2", "gpt2-classes"])
@pytest.mark.slow
def test_one_at_a_time_gives_the_same_and_peft_loads_the_result(name: str, tmp_path: Path):
    scenario = scenario_of(name, tmp_path)
    stacked = simulate(scenario)
    single = simulate(load(tmp_path / "own.yaml", ["learning.engine=reference"]))
    for column in ("loss", "train_loss"):
        np.testing.assert_allclose(stacked.rounds[column], single.rounds[column], rtol=1e-5)
    np.testing.assert_allclose(
        stacked.clients["update_norm"], single.clients["update_norm"], rtol=1e-4
    )
    stacked.write(tmp_path / "run")
    base, task = assemble(scenario.learning)
    adapter = PeftModel.from_pretrained(base.model, str(tmp_path / "run" / "adapter")).eval()
    learner = shared_learner(scenario)
    batch = task.test.take(torch.arange(3))
    with torch.no_grad():
        given = adapter(**batch.inputs).logits
        own = learner._model(**batch.inputs).logits
    torch.testing.assert_close(given, own)


def test_the_head_is_fresh_where_the_checkpoints_has_other_classes(tmp_path: Path):
    base, task = assemble(scenario_of("bert", tmp_path).learning)
    assert base.model.config.num_labels == 2  # the checkpoint has 3
    assert base.model.classifier.weight.shape[0] == 2
    assert set(task.classes.tolist()) == {0, 1}
    again, _ = assemble(load(tmp_path / "own.yaml").learning)
    assert torch.equal(base.model.classifier.weight, again.model.classifier.weight)


def test_half_precision_weights_and_a_float32_adapter(tmp_path: Path):
    scenario = scenario_of("llama-classes", tmp_path, "learning.model.dtype=bfloat16")
    learner = shared_learner(scenario)
    kinds = {p.dtype for p in learner._model.parameters() if not p.requires_grad}
    assert torch.bfloat16 in kinds
    assert {p.dtype for p in learner._model.parameters() if p.requires_grad} == {torch.float32}
    assert np.isfinite(simulate(scenario).rounds["loss"]).all()


def test_only_completions_are_learnt_after_prompts():
    samples, _ = encode_samples(
        [Text("it was a", " good day"), Text("not very", " happy and sad")], tokenizer(), 128
    )
    predicted = (samples.labels != -100).sum(1)
    assert samples.inputs["attention_mask"].sum(1).tolist() == [6, 6]
    assert predicted.tolist() == [3, 4]  # the completion's words and the end
    assert samples.predictions.tolist() == [3, 4]


def test_long_texts_are_cut_into_blocks_and_owners_follow():
    texts = [Text("good " * 9, owner=4), Text("bad", owner=2), Text("bad " * 4, owner=2)]
    task = encode(Corpus(texts, texts[:1], owners=tuple("abcde")), tokenizer(), 4)
    assert task.train.inputs["attention_mask"].sum(1).tolist() == [4, 4, 2, 2, 4]
    assert task.owners.tolist() == [4, 4, 4, 2, 2]  # the last block of the last is one token: out
    assert int((task.test.inputs["input_ids"] == 2).sum()) == 1  # the end, once


def test_a_corpus_has_its_own_fingerprint():
    one, two = (Corpus([Text("good", owner=owner)], [Text("bad")]) for owner in (0, 1))
    assert one.fingerprint == Corpus([Text("good")], [Text("bad")]).fingerprint
    assert len({one.fingerprint, two.fingerprint}) == 2


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _pickled(folder: Path) -> None:
    _no_weights(folder)
    torch.save({}, folder / "pytorch_model.bin")


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _strange(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mystery"}))


def _deeper(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))


def _no_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def _cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])


def _wrong_type(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": "wide"}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut_short, "the model cannot be used"),
        (_wrong_type, "cannot be used: .*hidden_size"),
        (_no_weights, "the model cannot be used: .*safetensors"),
        (_pickled, "the model cannot be used: .*safetensors"),
        (_no_config, "cannot be used"),
        (_strange, "cannot be used: .*mystery"),
        (_deeper, "lacks weights of the model, such as bert.encoder.layer.2"),
        (_no_tokenizer, "has no tokenizer"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_one_clear_error(spoil, message, tmp_path: Path):
    scenario = scenario_of("bert", tmp_path)
    spoil(tmp_path / "checkpoint")
    with pytest.raises(InputError, match=rf"(?s)learning\.model\.path: .*checkpoint: .*{message}"):
        assemble(scenario.learning)


def save_masked_lm(folder: Path) -> None:
    """Makes a BERT what it is after pre-training: with a head over tokens, without a pooler."""
    made = transformers.BertForMaskedLM.from_pretrained(folder, ignore_mismatched_sizes=True)
    (folder / "model.safetensors").unlink()
    made.save_pretrained(folder)


def test_a_masked_language_model_gets_a_pooler_and_a_head_that_are_trained(tmp_path: Path):
    scenario = scenario_of("bert", tmp_path)
    save_masked_lm(tmp_path / "checkpoint")
    base, _ = assemble(scenario.learning)
    assert set(base.head) == {"classifier", "pooler"}
    assert np.isfinite(simulate(scenario).rounds["loss"]).all()


def test_an_encoder_is_no_model_of_the_next_token(tmp_path: Path):
    scenario = scenario_of("bert", tmp_path, "learning.task.label=null")
    save_masked_lm(tmp_path / "checkpoint")
    with pytest.raises(InputError, match=r"BertLMHeadModel reads the tokens that it should"):
        assemble(scenario.learning)


def test_more_tokens_than_the_model_has_positions_for_are_refused(tmp_path: Path):
    scenario = scenario_of("gpt2", tmp_path, "learning.task.max_tokens=40")
    (tmp_path / "texts" / "0.txt").write_text("it is a day " * 20, encoding="utf-8")
    with pytest.raises(InputError, match=r"of 40 tokens .* lower learning\.task\.max_tokens"):
        assemble(scenario.learning)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path):
    scenario_of("llama", tmp_path)
    other = tokenizer()
    other.add_tokens([f"new{number}" for number in range(20)])
    other.save_pretrained(tmp_path / "checkpoint")
    with (tmp_path / "reviews.csv").open("a", encoding="utf-8") as file:
        file.write("the new19 day,good,author 1\n" * 8)
    with pytest.raises(InputError, match=r"its tokenizer has a token .* its model only 40"):
        assemble(load(tmp_path / "own.yaml").learning)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([Text("good " * 9, " bad")] * 2, "8 leaves no room .* of 2 prompts, .* up to 9 tokens"),
        ([Text("", label=0)], "finds no token in ''"),
        ([Text("")], "no text is two tokens long"),
    ],
)
def test_texts_with_nothing_to_learn_are_an_error(texts: list[Text], message: str):
    with pytest.raises(InputError, match=message):
        encode_samples(texts, tokenizer(), 8)


def test_images_of_another_size_are_refused(tmp_path: Path):
    scenario = scenario_of("vit", tmp_path)
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    text = json.dumps(config | {"image_size": 16})
    (tmp_path / "checkpoint" / "config.json").write_text(text)
    with pytest.raises(InputError, match="16 pixels a side; the task's have 1 and 8"):
        assemble(scenario.learning)


def test_a_hub_name_is_not_fetched_unasked(tmp_path: Path):
    scenario = scenario_of("bert", tmp_path, "learning.model={kind: huggingface, hub: no/such}")
    with pytest.raises(InputError, match=r"learning\.model\.hub: no/such: .*allow_download: true"):
        assemble(scenario.learning)


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("forbidden", [False, True])
def test_the_hub_is_out_of_reach_unless_it_is_allowed_and_the_user_does_not_forbid_it(
    allowed: bool, forbidden: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def from_pretrained(**options: object) -> None:
        assert options["local_files_only"] is not allowed
        raise OSError("offline" if is_offline_mode() else "within reach")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", forbidden)  # as HF_HUB_OFFLINE=1 does
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    model = f"{{kind: huggingface, hub: no/such, allow_download: {str(allowed).lower()}}}"
    scenario = scenario_of("bert", tmp_path, f"learning.model={model}")
    expected = "within reach" if allowed and not forbidden else "offline"
    with pytest.raises(InputError, match=rf"no/such: .*: {expected}"):
        assemble(scenario.learning)
    assert constants.HF_HUB_OFFLINE is forbidden


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learning.model={kind: huggingface}", "exactly one of path and hub"),
        ("learning.model.path=elsewhere", "no such folder"),
        ("learning.model.allow_download=true", "go with hub"),
        ("learning.task={kind: none}", "is not opened where nothing is learnt"),
        ("learning.model={kind: tiny-vit}", "reads images, not text"),
        ("stop.target={metric: perplexity, below: 2}", "not measured by the task 'table'"),
    ],
)
def test_what_does_not_go_together_is_said_at_loading(override: str, message: str, tmp_path: Path):
    scenario_of("bert", tmp_path)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "own.yaml", [override])
