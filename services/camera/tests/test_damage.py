"""Which pictures of a damaged stream are believed."""

from collections.abc import Iterable

from camera.domain.damage import Damage, Shown

LONGEST = 5.0
WHOLE, DAMAGED = Shown(whole=True, broken=0), Shown(whole=False, broken=1)


def judged(pictures: str, damage: Damage | None = None, fps: float = 1.0) -> str:
    """Which of these are shown: `k` key picture, `p` any other, `K` and `P` called corrupt."""
    damage, told = damage or Damage(LONGEST), []
    for place, picture in enumerate(pictures):
        damage.took(place)
        key, corrupt = picture in "kK", picture.isupper()
        told.append(damage.showed(place, corrupt=corrupt, key=key, at=place / fps))
    return marks(told)


def marks(told: Iterable[Shown]) -> str:
    return "".join("+" if shown.whole else "-" for shown in told)


def test_nothing_is_believed_from_a_damaged_picture_to_the_next_key_picture() -> None:
    assert judged("kppPppkppKpkp") == "+++---+++--++"


def test_a_key_picture_that_never_comes_is_not_waited_for_again() -> None:
    assert judged("kpPpppppppPpppppkPpk") == "++------++-++++++--+"


def test_pictures_that_come_fast_are_waited_for_as_long() -> None:
    assert judged("kP" + 12 * "p", fps=2.0) == "+" + 11 * "-" + "++"


def test_a_clock_that_jumps_back_ends_the_wait() -> None:
    damage = Damage(LONGEST)
    assert damage.showed(99, corrupt=True, key=False, at=99.0) == DAMAGED
    assert damage.showed(100, corrupt=False, key=False, at=100.0) == DAMAGED
    assert damage.showed(1, corrupt=False, key=False, at=1.0) == WHOLE


def test_what_refers_to_a_swallowed_picture_is_damaged_too() -> None:
    damage = Damage(LONGEST)
    for place in range(4):
        damage.took(place)
    assert damage.showed(0, corrupt=False, key=True, at=0.0) == WHOLE
    assert damage.showed(2, corrupt=False, key=False, at=2.0) == Shown(whole=False, broken=2)
    assert damage.showed(3, corrupt=False, key=False, at=3.0) == DAMAGED


def test_a_key_picture_that_was_refused_is_not_believed_when_it_is_shown_nevertheless() -> None:
    """So does H.265. The refusal was told of before."""
    damage = Damage(LONGEST)
    damage.took(0)
    damage.refused(1)
    damage.took(2)
    assert damage.showed(0, corrupt=False, key=True, at=0.0) == WHOLE
    assert damage.showed(1, corrupt=False, key=True, at=1.0) == Shown(whole=False, broken=0)
    assert damage.showed(2, corrupt=False, key=False, at=2.0) == DAMAGED


def test_what_refers_to_a_refused_picture_of_unknown_place_is_damaged() -> None:
    damage = Damage(LONGEST)
    assert damage.showed(0, corrupt=False, key=True, at=0.0) == WHOLE
    damage.refused(None)
    assert damage.showed(None, corrupt=False, key=False, at=1.0) == DAMAGED
    assert damage.showed(None, corrupt=False, key=False, at=None) == WHOLE
    assert damage.showed(2, corrupt=False, key=True, at=2.0) == WHOLE


def test_a_refused_picture_is_forgotten_where_decoding_begins_anew() -> None:
    damage = Damage(LONGEST)
    damage.refused(7)
    damage.emptied()
    assert judged("kpp", damage) == "+++"


def test_a_damaged_picture_of_unknown_time_is_followed_by_others() -> None:
    """So begins RTSP over UDP: the first picture has no time yet."""
    damage = Damage(LONGEST)
    assert damage.showed(None, corrupt=True, key=True, at=None) == DAMAGED
    assert damage.showed(3600, corrupt=False, key=False, at=4000.0) == DAMAGED
