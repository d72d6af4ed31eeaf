"""Which of a sample's names a reader comes to, and how free ones are filled."""

import itertools

import pytest

from rollouts.caches.suffixes import GAPS, Walk, move_up


def reached(names):
    """What a reader sees that tries one name after another."""
    found, gaps = [], 0
    for suffix in range(20):
        if suffix in names:
            found.append(suffix)
            continue
        gaps += 1
        if suffix == 0 or gaps > GAPS:
            break
    return found


SETS = [set(names) for n in range(1, 6) for names in itertools.combinations(range(6), n)]


@pytest.mark.parametrize("names", SETS, ids=str)
def test_a_listing_tells_what_a_reader_comes_to(names):
    walk = Walk()
    assert [suffix for suffix in sorted(names) if walk.reaches("a", suffix)] == reached(names)
    assert walk.reaches("b", 0)
    assert not walk.reaches("c", 1)


@pytest.mark.parametrize("names", SETS, ids=str)
def test_all_that_a_reader_came_to_is_found_again_in_its_order_when_names_become_free(names):
    for n in range(1, len(names) + 1):
        for gone in map(set, itertools.combinations(sorted(names), n)):
            texts = {suffix: f"text {suffix}" for suffix in names - gone}

            def rename(suffix, free, texts=texts):
                if suffix not in texts:
                    return None
                if free in texts:
                    return False
                texts[free] = texts.pop(suffix)
                return True

            move_up(rename, min(gone), max(gone))
            expected = [f"text {suffix}" for suffix in reached(names) if suffix not in gone]
            assert [text for suffix in reached(texts) if (text := texts[suffix]) in expected] == expected


def test_a_name_that_another_process_took_meanwhile_is_left_to_it():
    texts = {0: "theirs", 1: "a", 3: "b"}

    def rename(suffix, free):
        if suffix not in texts:
            return None
        if free in texts:
            return False
        texts[free] = texts.pop(suffix)
        return True

    assert move_up(rename, 0, 2) == {3: 2}
    assert texts == {0: "theirs", 1: "a", 2: "b"}
