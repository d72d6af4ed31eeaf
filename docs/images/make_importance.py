"""Make importance.png: real samples of the local model, which ask for nothing when they are cached.

python docs/images/make_importance.py
"""

from __future__ import annotations

from pathlib import Path

from rollouts_anchors import importance, plot_sentences

from rollouts import RolloutsClient

QUESTION = "Tom has 3 apples and buys 2 more. How many apples does Tom have?\n<think>\nLet me think step by step."


def main() -> None:
    """Sample, resample, measure, draw."""
    with RolloutsClient("local/smollm2-135m-instruct", temperature=0.7, max_tokens=80) as client:
        response = client.generate(QUESTION)[0]
        resampling = client.resample(response, n_samples=50, truth="5", extract="number", where="anywhere")
    table = importance(resampling)
    print(table)
    plot_sentences(table).savefig(Path(__file__).with_name("importance.png"), dpi=160)


if __name__ == "__main__":
    main()
