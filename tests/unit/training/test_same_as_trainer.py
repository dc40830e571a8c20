"""What training comes to is what ``transformers.Trainer`` comes to: only the time differs."""

from __future__ import annotations

import pytest
import torch
import transformers

from stagetree.training.batches import ShuffledRows, lengths_of


class Plain(transformers.Trainer):
    """Trainer as its documentation says, with rows in a given order."""

    order: ShuffledRows

    def _get_train_sampler(self, train_dataset=None):
        return self.order


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_equal_batches_give_equal_weights(
    make_model, heard, run, task, tokenizer, train_rows, weights, tmp_path, decay
):
    """Without dropout, in fp32; rows of the vocabulary that no data uses are not decayed."""
    ours = make_model(dropout=0.0)
    options = {"epochs": 3, "learning_rate": 3e-3, "weight_decay": decay, "warmup": 0.1}
    run(ours, heard(), batch_size=8, evaluations=1, **options)
    theirs = make_model(dropout=0.0)
    trainer = Plain(
        model=theirs,
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path / "trainer"),
            num_train_epochs=3,
            per_device_train_batch_size=8,
            learning_rate=3e-3,
            weight_decay=decay,
            warmup_steps=0.1,
            eval_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=train_rows.remove_columns("length"),
        data_collator=task.collator(tokenizer),
    )
    trainer.order = ShuffledRows(lengths_of(train_rows), 8, heard().seed)
    trainer.train()
    used = sorted({word for row in train_rows["input_ids"] for word in row})
    for name, found in weights(ours).items():
        expected = weights(theirs)[name]
        if name.endswith("word_embeddings.weight"):
            found, expected = found[used], expected[used]
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)
